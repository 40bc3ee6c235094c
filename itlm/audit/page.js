const all = (query, from = document) => [...from.querySelectorAll(query)];
document.body.classList.remove("still");

const byText = new Intl.Collator("en", { numeric: true }).compare;
for (const table of all("table")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent || body.querySelector(`td:nth-child(${column + 1}) > img`)) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const keys = new Map([...body.rows].map((row) => {
        const cell = row.cells[column], box = cell.querySelector("input");
        const number = box ? +!box.checked : cell.dataset.v ? +cell.dataset.v : NaN;
        return [row, { number, text: cell.title || cell.textContent, last: cell.className === "none" }];
      }));
      const inOrder = (a, b) => a.last - b.last || sign * (a.number - b.number || byText(a.text, b.text));
      body.append(...[...body.rows].sort((a, b) => inOrder(keys.get(a), keys.get(b))));
    });
  });
}

const body = document.querySelector("#suspects tbody"), rows = [...body.rows];
const boxes = rows.map((row) => row.querySelector("input"));
const words = rows.map((row) => [...row.cells].map((c) => c.title || c.textContent).join(" ").toLowerCase());
const find = document.getElementById("find"), given = document.getElementById("given");
const state = document.querySelector("[role=status]");
let saved = true;

const count = (more = "") => {
  const shown = rows.filter((row) => !row.hidden).length, wrong = boxes.filter((box) => box.checked).length;
  state.textContent = `${shown} of ${rows.length} shown, ${wrong} marked as wrong.${more}`;
};
const filter = () => {
  const wanted = find.value.toLowerCase().split(/\s+/), label = given ? given.value : "";
  rows.forEach((row, k) => {
    row.hidden = !(wanted.every((word) => words[k].includes(word)) && (!label || row.dataset.given === label));
  });
  count();
};
find.addEventListener("input", filter);
given?.addEventListener("change", filter);
body.addEventListener("change", () => { saved = false; count(); });
all('a[href^="#r"]').forEach((link) => link.addEventListener("click", () => {
  find.value = "";
  if (given) given.value = "";
  filter();
}));
document.getElementById("copy").addEventListener("click", () => {
  const ids = [...body.rows].filter((row) => !row.hidden).map((row) => row.querySelector("input").value);
  navigator.clipboard.writeText(ids.join("\n")).then(() => count(" Ids copied."), () => count(" Copying was refused."));
});
document.getElementById("save").addEventListener("click", () => {
  const lines = boxes.map((box) => `"${box.value.replaceAll('"', '""')}",${box.checked ? "wrong" : "unmarked"}\n`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["id,decision\n", ...lines], { type: "text/csv" }));
  link.download = "decisions.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  saved = true;
});
addEventListener("beforeunload", (event) => saved || event.preventDefault());
filter();
