"""What was found is found again: from the table to the place, from place to place, and what must not be missed."""

import re

import numpy as np
import pytest
from wpunet import files

from Testing import phantom
from Testing.view.conftest import HEALTHY, UPLOAD_MB
from Testing.view.test_hand import on_slices, scale
from Testing.view.visitor import until

SIZES = ((1280, 800), (1920, 1080), (1024, 768))
SIDES = (("x", "width"), ("y", "height"))
# What is cut, lies over its right neighbour, or outside of its line
OUTSIDE = """(lines) => lines.flatMap((line) => {
  const parts = [...line.querySelectorAll("button, span.text-caption, .v-selection-control__wrapper, .v-label")];
  const boxes = parts.map((one) => one.getBoundingClientRect());
  const next = [...boxes.slice(1).map((box) => box.left), line.getBoundingClientRect().right];
  const cut = (one) => one.matches(".v-label") && one.scrollWidth > one.clientWidth;
  return parts.filter((one, k) => cut(one) || boxes[k].right > next[k] + 1).map((one) => one.outerHTML.slice(0, 160));
})"""

# Pixels of kidneys at the left and right edge of the 3D view
REDDISH_AT_THE_EDGE = """() => {
  const picture = document.querySelector("[data-view=ThreeD] img"), canvas = document.createElement("canvas");
  const [width, height] = [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  return [0, width - 1].flatMap((x) => [...Array(height).keys()].filter((y) => {
    const [red, green] = context.getImageData(x, y, 1, 1).data;
    return red > 1.5 * green;
  })).length;
}"""


@pytest.fixture
def visitor(segmented):
    return segmented.anew()


def middle(visitor, view):
    """RAS mm of the middle of a view."""
    given = visitor.page.evaluate(f"window.trame.state.state['over_{view}__ViewState__geometry']")
    to_ras = np.linalg.inv(np.array(given[:16]).reshape(4, 4))
    return (to_ras @ [given[16] / 2, given[17] / 2, 0, 1])[:3]


def rows(visitor):
    return {row["name"]: row for row in visitor.page.evaluate("window.trame.state.state.PageState__rows")}


def test_a_click_on_a_row_centres_and_fits(visitor):
    page = visitor.page
    for name in ("left kidney", "right tumor"):
        row = page.locator("tr.jump", has_text=name)
        row.click() if name == "left kidney" else row.press("Enter")
        wanted = np.array(rows(visitor)[name]["at"])
        for view in ("Axial", "Coronal", "Sagittal"):
            until(
                lambda view=view, wanted=wanted: np.abs(middle(visitor, view) - wanted).max() < 5, f"{name} in {view}"
            )
        across, _, along = rows(visitor)[name]["extent"]
        for view, mm in (("Axial", across), ("Coronal", along)):
            box = page.locator(f"[data-view={view}]").bounding_box()
            seen = min(box["width"], box["height"]) / scale(visitor, view)
            assert max(120, 2 * mm) - 1 <= seen <= 1.5 * max(120, 2 * mm), (name, view)


def test_a_run_without_a_tumor_goes_to_the_larger_kidney(call, tmp_path):
    made = phantom.make(**HEALTHY)
    phantom.save_nifti(made.hu, made.affine, tmp_path / "healthy.nii.gz")
    visitor = call()
    visitor.upload(tmp_path / "healthy.nii.gz")
    visitor.sees("28 × 116 × 144 voxels")
    visitor.segment()
    visitor.sees("No tumor")
    larger = max(rows(visitor).values(), key=lambda row: float(row["volume"].lstrip("> ")))
    until(lambda: np.abs(middle(visitor, "Axial") - larger["at"]).max() < 5, "the larger kidney")
    assert visitor.button("Next tumor").is_disabled()


def test_the_next_uncertain_place_is_shown_with_its_legend(visitor):
    page = visitor.page
    assert not page.get_by_text("Chance to be wrong").is_visible()
    seen = []
    for number in (1, 2):
        visitor.button("Next uncertain place").click()
        visitor.sees(re.compile(rf"Uncertain place {number} of \d+"))
        visitor.rest()
        seen.append(tuple(np.round(middle(visitor, "Axial"))))
    assert len(set(seen)) == 2
    visitor.sees("Chance to be wrong")
    page.keyboard.press("u")
    until(lambda: not page.get_by_text("Chance to be wrong").is_visible(), "the uncertainty to go", 20)
    page.keyboard.press("u")
    visitor.sees("Chance to be wrong")
    still = visitor.picture("Axial")
    page.get_by_role("slider", name="Opacity").first.press("ArrowLeft")
    until(lambda: visitor.picture("Axial") != still, "the uncertainty to become fainter")
    visitor.button("Previous uncertain place").click()
    visitor.sees(re.compile(r"Uncertain place 1 of"))


def test_every_jump_lands_on_a_slice_of_the_ct(visitor, small_ct):
    page, ct = visitor.page, files.read(small_ct)
    jumps = [row.click for row in page.locator("tr.jump").all()]
    for jump in (*jumps, *[visitor.button("Next uncertain place").click] * 3):
        jump()
        visitor.rest()
        on_slices(visitor, ct)
    page.mouse.move(*visitor.place("Axial"))
    first = visitor.slice()
    for by in range(1, 5):
        page.mouse.wheel(0, 100)
        until(lambda by=by: visitor.slice() == first + by, "the next slice", 20)


@pytest.mark.parametrize("view", ["Axial", "Coronal", "Sagittal", "ThreeD"])
def test_each_view_goes_back_to_what_it_was(visitor, view):
    was = visitor.pixels(view)
    visitor.drag(view, (0.5, 0.6), (0.5, 0.4), button="right")
    visitor.rest()
    assert visitor.pixels(view) != was
    visitor.page.locator(f"[data-view={view}]").get_by_role("button", name="Reset").click()
    until(lambda: visitor.pixels(view) == was, "the view as it was", 30)


def test_h_hides_the_segments_and_shows_them_again(visitor):
    page = visitor.page
    page.locator("tr.jump", has_text="tumor").click()
    page.mouse.click(*visitor.place("Axial"))
    visitor.rest()
    coloured, solid = green(visitor, "Axial"), green(visitor, "ThreeD")
    assert min(coloured, solid) > 100
    page.keyboard.press("h")
    # the edge of the crosshair is as green
    until(lambda: green(visitor, "Axial") < 0.02 * coloured, "the tumor to be hidden")
    until(lambda: green(visitor, "ThreeD") < 0.2 * solid, "the tumor to be hidden in 3D")
    page.keyboard.press("h")
    until(lambda: green(visitor, "Axial") > 0.8 * coloured, "the tumor again")


def test_the_tumor_is_seen_through_the_kidneys(visitor):
    page = visitor.page
    visible = until(lambda: green(visitor, "ThreeD"), "the tumor in 3D")
    page.get_by_role("button", name="Hide right kidney").click()
    visitor.rest()
    assert visible > 0.5 * green(visitor, "ThreeD")  # from the front this tumor lies behind its kidney


def green(visitor, view):
    """How many pixels of a view's picture are green, be it through red."""
    return visitor.page.evaluate(
        """(view) => {
          const picture = document.querySelector(`[data-view=${view}] img`), canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
          const context = canvas.getContext("2d");
          context.drawImage(picture, 0, 0);
          const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
          let count = 0;
          for (let k = 0; k < data.length; k += 4) {
            const [red, green, blue] = data.slice(k, k + 3);
            // a kidney's green is a quarter of its red; the crosshair is bright yellow
            count += green > 0.75 * red && green > blue + 25 && red < 170;
          }
          return count;
        }""",
        view,
    )


def test_errors_and_warnings_are_seen_wherever_the_panel_is_scrolled(visitor, tmp_path):
    page = visitor.page
    page.set_viewport_size({"width": 1024, "height": 500})
    panel = page.locator(".panel .v-navigation-drawer__content")
    panel.evaluate("(one) => { one.scrollTop = one.scrollHeight; }")
    until(lambda: panel.evaluate("(one) => one.scrollTop") > 100, "a scrolled panel")
    (tmp_path / "large.nii").write_bytes(bytes((UPLOAD_MB + 1) * 1_000_000))
    visitor.upload(tmp_path / "large.nii")
    error = page.get_by_text("larger than an upload may be")
    error.wait_for()
    assert 48 <= error.bounding_box()["y"] < 250
    visitor.button("Close").first.click()
    error.wait_for(state="hidden")
    page.evaluate("window.trame.state.set('PageState__warnings', ['One thing to know.', 'And another.'])")
    warning = page.get_by_text("And another.")
    warning.wait_for()
    assert 48 <= warning.bounding_box()["y"] < 250
    page.get_by_role("button", name=re.compile("2 warnings")).click()  # folded, but still there
    warning.wait_for(state="hidden")
    assert page.get_by_text("2 warnings").is_visible()


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_cut_at_any_size(visitor, size):
    width, height = size
    page = visitor.page
    page.set_viewport_size({"width": width, "height": height})
    visitor.rest()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    table = page.locator("[aria-label=Measurements] .v-table__wrapper")
    assert table.evaluate("(one) => one.scrollWidth <= one.clientWidth")
    panel = page.locator(".panel .v-navigation-drawer__content")
    assert panel.evaluate("(one) => one.offsetWidth - one.clientWidth") > 0  # its scrollbar
    for cell in table.locator("td, th").all():
        assert cell.evaluate("(one) => one.scrollWidth <= one.clientWidth + 1"), cell.inner_text()
    assert page.locator(".review").evaluate_all(OUTSIDE) == []
    for name in ("Open CT", "Save", "Help", "Window", "Region", "Fit", "Reset", "Hide"):
        box = page.get_by_role("button", name=name, exact=True).bounding_box()
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= width, name
    for view in ("Axial", "Coronal", "Sagittal", "ThreeD"):
        box = page.locator(f"[data-view={view}]").bounding_box()
        assert box["width"] > 250, view
        assert box["height"] > 200, view


def test_a_page_at_twice_its_size_can_be_used(visitor):
    page = visitor.page
    page.set_viewport_size({"width": 683, "height": 384})  # 1366 x 768 at 200 %
    visitor.rest()
    for name in ("Window", "Region", "Fit", "Reset", "Hide", "Help"):
        box = page.get_by_role("button", name=name, exact=True).bounding_box()
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= 683, name
        assert box["y"] + box["height"] <= 384, name
    for view in ("Axial", "Coronal", "Sagittal"):
        over = page.locator(f"[data-view={view}] .over-view")
        parts = [over.locator(part) for part in (".which", ".window-level", ".view-buttons")]
        boxes = [part.bounding_box() for part in parts if part.is_visible()]
        for k, one in enumerate(boxes):
            for other in boxes[:k]:
                apart = [one[s] + one[size] <= other[s] or other[s] + other[size] <= one[s] for s, size in SIDES]
                assert any(apart), (view, one, other)
    for name in ("Paint", "Smooth"):
        visitor.button(name).scroll_into_view_if_needed()
        visitor.button(name).click(timeout=10_000)
    visitor.button("Look").click()

    def width():
        return page.locator("[data-view=Axial]").bounding_box()["width"]

    fold, told, beside = page.get_by_title("Fold the controls away"), page.get_by_title("Show the controls"), width()
    fold.click()
    until(lambda: width() > 1.8 * beside, "the room of the controls")
    fold.click()
    until(lambda: abs(width() - beside) < 1, "the controls again")
    page.set_viewport_size({"width": 400, "height": 850})  # a phone, where they lie over the views
    until(lambda: width() > 190, "half of the page")
    for name in ("Open CT", "Open folder", "Save", "Help", "Region", "Hide"):
        box = visitor.button(name).bounding_box()
        assert box["x"] + box["width"] <= 400, name
    for what, text in (("warnings", ["an arm lies on it"]), ("busy", "Reading a CT"), ("error", "it holds MR, not CT")):
        page.evaluate("(given) => window.trame.state.set(...given)", [f"PageState__{what}", text])
        until(
            lambda what=what, text=text: (text if what != "warnings" else text[0]) in told.inner_text(),
            f"{what}, though folded",
            20,
        )
    told.click()
    until(lambda: not told.count(), "the controls, which tell it themselves")
    visitor.sees("it holds MR, not CT")
    for what, text in (("warnings", []), ("busy", ""), ("error", "")):
        page.evaluate("(given) => window.trame.state.set(...given)", [f"PageState__{what}", text])
    visitor.button("Smooth").click(timeout=10_000)
    visitor.button("Look").click()


def test_what_a_view_shows_stays_in_sight_where_it_gets_slim(visitor):
    page = visitor.page
    before = {view: visitor.pixels(view) for view in ("Axial", "Coronal", "ThreeD")}

    def sides(view):
        """mm from side to side, and from top to bottom."""
        box = page.locator(f"[data-view={view}]").bounding_box()
        return [box[side] / scale(visitor, view) for side in ("width", "height")]

    seen = {view: min(sides(view)) for view in ("Axial", "Coronal")}
    page.set_viewport_size({"width": 800, "height": 900})
    visitor.rest()
    for view, mm in seen.items():
        assert min(sides(view)) == pytest.approx(mm, rel=0.02), view
    assert page.evaluate(REDDISH_AT_THE_EDGE) == 0
    page.set_viewport_size({"width": 1280, "height": 800})
    visitor.rest()
    assert {view: visitor.pixels(view) for view in before} == before


def test_with_a_result_the_tools_are_seen_on_a_small_screen(visitor):
    page = visitor.page
    page.set_viewport_size({"width": 1024, "height": 768})
    long = "The right tumor 2 is doubtful: it holds fat (-123 HU inside), perhaps an angiomyolipoma, or fat beside it."
    page.evaluate("(texts) => window.trame.state.set('PageState__warnings', texts)", [long[:70], long])
    visitor.sees("perhaps an angiomyolipoma")
    box = visitor.button("Smooth").bounding_box()
    page.evaluate("window.trame.state.set('PageState__warnings', [])")
    assert box["y"] + box["height"] <= 768


def test_everything_has_a_name_and_room_for_a_finger(visitor):
    page = visitor.page
    visitor.button("Paint").click()
    page.get_by_text("Rendering", exact=True).click()
    visitor.rest()
    assert page.locator("h1").count() == 1
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, [role=slider], input:not([type=hidden]), [role=group], select")]
          .filter((one) => one.checkVisibility())
          .filter((one) => !(one.ariaLabel || one.getAttribute("aria-labelledby") || one.innerText?.trim()
            || one.title || one.labels?.length))
          .map((one) => one.outerHTML.slice(0, 160))"""
    )
    assert nameless == []
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, [role=slider], tr.jump, a[href]")]
          .filter((one) => one.checkVisibility())
          .map((one) => [one.getBoundingClientRect(), one.outerHTML.slice(0, 160)])
          .filter(([box]) => box.width < 23.5 || box.height < 23.5)
          .map(([box, text]) => `${box.width}x${box.height} ${text}`)"""
    )
    assert small == []
    for view in ("Axial slices", "Coronal slices", "Sagittal slices", "3D view"):
        assert page.get_by_role("group", name=view).count() == 1


def test_the_title_names_the_case_and_a_nameless_file_asks_for_one(call, small_ct, tmp_path):
    visitor = call()
    page = visitor.page
    (tmp_path / "imaging.nii.gz").write_bytes(small_ct.read_bytes())
    for k, takes in enumerate((lambda: visitor.button("Use this name").click(), lambda: page.keyboard.press("Enter"))):
        visitor.upload(tmp_path / "imaging.nii.gz")
        page.get_by_label("Name of the case").fill(f"patient {k}")
        assert "upload" not in page.title().lower()
        takes()
        until(lambda k=k: page.title() == f"patient {k} – WPUNetSegment", "the title", 20)
    folder = tmp_path / "case_00042"
    folder.mkdir()
    (folder / "imaging.nii.gz").write_bytes(small_ct.read_bytes())
    visitor.upload(folder, button="Open folder")
    until(lambda: page.title() == "case_00042 – WPUNetSegment", "the folder's name")
    assert files.case_name(folder / "imaging.nii.gz") == "case_00042"
