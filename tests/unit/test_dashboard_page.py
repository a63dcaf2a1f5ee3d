from pathlib import Path


def test_the_page_has_no_script_or_style_in_itself() -> None:
    page = (Path(__file__).parents[2] / "api/fuseboard_api/static/index.html").read_text()

    assert "<style" not in page
    assert " style=" not in page
    assert " onclick=" not in page
    assert page.count("<script") == page.count('<script type="module" src="/static/')
