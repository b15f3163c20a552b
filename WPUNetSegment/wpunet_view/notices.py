"""The few pages that are not the page: starting, refused, ended; and what takes its place when it is cut off."""

from __future__ import annotations

from html import escape

from aiohttp import web

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">{more}<title>WPUNetSegment</title>
<style>
body {{ background: #101317; color: #dfe5eb; font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center;
  min-height: 96vh; margin: 0 }}
main {{ max-width: 34rem; padding: 1rem }} h1 {{ font-size: 1.2rem; font-weight: 600 }} a {{ color: #6cb2f7 }}
pre {{ white-space: pre-wrap; font-size: .75rem; color: #a9b4c0 }}
i {{ display: inline-block; width: 1em; height: 1em; margin-right: .6em; border: 2px solid #6cb2f7;
  vertical-align: -.1em; border-top-color: transparent; border-radius: 50%; animation: turn 1s linear infinite }}
@keyframes turn {{ to {{ transform: rotate(1turn) }} }}
</style><main role="status"><h1>{title}</h1>{body}</main></html>"""
ENDED = "This page has ended"
CUT_OFF = f"""<main role="alert" style="position: fixed; inset: 0; display: grid; place-content: center; padding: 1rem;
  background: #101317; color: #dfe5eb; font: 16px/1.5 system-ui, sans-serif">
<h1 style="font-size: 1.2rem; font-weight: 600; margin-bottom: .6em">{ENDED}</h1>
<p style="max-width: 34rem">The program behind it was stopped or cannot be reached. If it still runs,
<a href="./" style="color: #6cb2f7">open the page again</a> soon: the work of a page is kept for a short time only.</p>
</main>"""  # in the page itself, since nothing answers any more


WAIT = """<script>
(async () => {
  while ((await (await fetch("ready")).text()) !== "yes");
  location.reload();
})().catch(() => setTimeout(() => location.reload(), 1000));
</script>"""


def _page(title: str, body: str, status: int, more: str = "") -> web.Response:
    return web.Response(
        text=PAGE.format(title=title, body=body, more=more), status=status, content_type="text/html", charset="utf-8"
    )


def starting() -> web.Response:
    """Goes on to the page as soon as that is ready."""
    again = '<noscript><meta http-equiv="refresh" content="1"></noscript>'
    return _page(
        "<i></i>Starting",
        f"<p>The program behind this page is being loaded; that takes some seconds.</p>{WAIT}",
        200,
        again,
    )


def refused(text: str) -> web.Response:
    return _page("Not allowed", f"<p>{escape(text)}</p>", 403)


def busy(text: str) -> web.Response:
    """Asks again every other second."""
    return _page("Too many pages", f"<p>{escape(text)}</p>", 503, '<meta http-equiv="refresh" content="2">')


def ended() -> web.Response:
    return _page(ENDED, '<p>Its work is gone. <a href="/">Open a new page</a>.</p>', 404)


def failed(log: str) -> web.Response:
    return _page("The page's program has ended unexpectedly", f"<p>Its last words:</p><pre>{escape(log)}</pre>", 500)
