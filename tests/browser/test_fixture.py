"""The browser's fixture sees what a page must not do; were it blind, the tests of the pages would pass on anything."""


def test_complaints_and_requests_are_seen(opened, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        "<script>console.error('no')</script><img src='https://example.invalid/x.png'><script>gone()</script>"
    )
    watched = opened(path)
    watched.page.wait_for_timeout(300)
    assert any("no" in text for text in watched.errors)
    assert any("gone" in text for text in watched.errors)
    assert watched.requests == ["https://example.invalid/x.png"]
    watched.errors.clear()
    watched.requests.clear()


def test_a_good_page_is_good(opened, tmp_path):
    path = tmp_path / "good.html"
    path.write_text("<!doctype html><title>good</title><script>console.log('fine')</script>")
    assert opened(path).page.title() == "good"
