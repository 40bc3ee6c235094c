"""The book as a person sees it: built without warnings, opened in a browser with the network blocked."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.site


@pytest.fixture(scope="session")
def site(root, tmp_path_factory) -> Path:
    """The site, built as `make site` builds it, but elsewhere and from nothing."""
    out = tmp_path_factory.mktemp("site")
    command = [Path(sys.executable).parent / "jupyter-book", "build", root / "book", "-W", "-n", "--keep-going"]
    done = subprocess.run([*command, "--path-output", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out / "_build" / "html"


@pytest.fixture
def page(browser):
    """A page that notes errors, and every request that would leave this machine."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda m: page.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("requestfailed", lambda request: page.complaints.append(f"failed: {request.url}"))

    def local_only(route):
        if route.request.url.startswith(("file:", "data:", "blob:")):
            route.continue_()
        else:
            page.complaints.append(f"asked another host: {route.request.url}")
            route.abort()

    page.route("**/*", local_only)
    yield page
    context.close()


def pages(site):
    return sorted(p for p in site.rglob("*.html") if "_static" not in p.parts)


def test_every_page_was_built(site):
    built = {p.relative_to(site).as_posix() for p in pages(site)}
    assert {"index.html", "notebooks/algorithm.html", "notebooks/scorecard.html", "api.html"} <= built


def test_every_page_opens_without_errors_and_without_a_network(site, page):
    for path in pages(site):
        page.goto(path.as_uri(), wait_until="load")
        missing = page.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)")
        assert not missing, f"{path.name}: {missing}"
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 1, f"{path.name} is {wide} pixels wider than a phone"
        assert not page.complaints, f"{path.name}: {page.complaints}"


def test_mathematics_is_typeset(site, page):
    page.goto((site / "symbols.html").as_uri())
    page.wait_for_selector("mjx-container")
    page.wait_for_function("!document.querySelector('.math:not(:has(mjx-container))')")
    assert page.locator("mjx-merror").count() == 0
    assert not page.complaints


def test_the_animation_steps(site, page):
    page.goto((site / "notebooks" / "algorithm.html").as_uri())
    shown = lambda: page.locator(".stepper figure:visible figcaption").all_inner_texts()  # noqa: E731
    assert len(shown()) == 1 and shown()[0].startswith("Round 0")
    page.get_by_label("one step on").click()
    assert shown()[0].startswith("Round 1")
    page.get_by_label("one step back").click()
    assert shown()[0].startswith("Round 0")
    page.get_by_label("step", exact=True).fill("2")
    assert shown()[0].startswith("Round 2")


def test_the_scorecard_sorts_and_searches(site, page):
    page.goto((site / "notebooks" / "scorecard.html").as_uri())
    table = page.locator("table.sortable")
    rows = table.locator("tbody tr:visible")
    everything = rows.count()
    assert everything >= 40
    page.get_by_label("Search the table").fill("table 3 celeba")
    assert rows.count() == 3
    page.get_by_label("Search the table").fill("")
    assert rows.count() == everything
    first = lambda: rows.first.locator("td").first.inner_text()  # noqa: E731
    table.get_by_role("button", name="item").click()
    assert first() == "Figure 1(a)"
    table.get_by_role("button", name="item").click()
    assert first().startswith("Theorem")


def test_signed_numbers_sort_by_their_value(site, page):
    page.goto((site / "notebooks" / "open_questions.html").as_uri())
    table = page.locator("table.sortable").first
    heads = table.locator("th").all_inner_texts()
    column = next(place for place, name in enumerate(heads, 1) if name.startswith("difference"))
    table.get_by_role("button", name="difference").click()
    shown = [float(text.split()[0]) for text in table.locator(f"td:nth-child({column})").all_inner_texts()]
    assert len(shown) > 10 and min(shown) < 0 < max(shown) and shown == sorted(shown)


def test_search_finds_a_page(site, page):
    page.goto((site / "search.html").as_uri() + "?q=telephone")
    page.wait_for_selector("ul.search li")
    assert "The method in pictures" in page.locator("ul.search").inner_text()


def test_every_notebook_page_opens_on_colab(root, site, page):
    import yaml

    repository = yaml.safe_load((root / "_config.yml").read_text())["repository"]
    for source in (root / "notebooks").glob("*.ipynb"):
        page.goto((site / "notebooks" / f"{source.stem}.html").as_uri())
        href = page.locator("a[href*='colab.research.google.com']").first.get_attribute("href")
        tail = repository["url"].removeprefix("https://github.com/")
        assert href.endswith(f"/github/{tail}/blob/{repository['branch']}/notebooks/{source.name}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_are_opaque_cards_in_either_mode(browser, site, scheme):
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto((site / "notebooks" / "algorithm.html").as_uri())
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    images = page.locator("article img")
    colours = images.evaluate_all("images => images.map(image => getComputedStyle(image).backgroundColor)")
    assert set(colours) == {"rgb(255, 255, 255)"}
    context.close()
