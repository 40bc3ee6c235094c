// Makes every table of class "sortable" sortable (click a column's head) and, where long, searchable (type above it).
// Without JavaScript the table is complete and simply stands still.
document.addEventListener("DOMContentLoaded", () => {
  for (const cell of document.querySelectorAll("table.dataframe td")) // no line ends at a plus-minus
    cell.innerHTML = cell.innerHTML.replaceAll(" ± ", "\u00a0±\u00a0");
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];

    const search = document.createElement("input");
    search.type = "search";
    search.placeholder = "Search the table";
    search.setAttribute("aria-label", "Search the table");
    search.className = "table-search";
    const count = document.createElement("span");
    count.className = "table-count";
    count.setAttribute("aria-live", "polite");
    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      count.textContent = `${shown} of ${rows.length} rows`;
    };
    search.addEventListener("input", filter);
    const scroller = document.createElement("div");
    scroller.className = "table-scroller";
    table.before(...(rows.length > 12 ? [search, count] : []), scroller);
    scroller.append(table);
    filter();

    const byText = new Intl.Collator(undefined, { numeric: true }).compare;
    const isNumber = (text) => /^[+-]?\d/.test(text);
    const inOrder = (a, b) =>
      (isNumber(a) && isNumber(b) && parseFloat(a.replaceAll(",", "")) - parseFloat(b.replaceAll(",", ""))) || byText(a, b);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => row.cells[column].textContent.trim().replace("−", "-");
        body.append(...rows.sort((a, b) => (down ? -1 : 1) * inOrder(value(a), value(b))));
      });
    });
  }
});
