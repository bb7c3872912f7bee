"""The pages that people see, most of all to let a device in: plain HTML that loads nothing, and runs nothing.

    welcome     what this server is
    sign_in     the code that the device shows, who one is, and the password
    confirm     what asks to be let in, and the two answers
    message     what came of it

No cookie is set and none is read, so no other site can act for somebody: every answer needs the password, or the nonce
that the password was given for.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape

from starlette.responses import HTMLResponse

from .device import DeviceRequest, shown_code

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5a6675; --line: #c9d1db; --paper: #fff; --ground: #f3f5f8;
  --key: #1f5fbf; --key-ink: #fff; --wrong: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --soft: #a3afbd; --line: #47525f; --paper: #1d232b;
  --ground: #12161b; --key: #8ab4f8; --key-ink: #10213d; --wrong: #ffb4ab; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
main { width: min(26rem, 100vw - 2rem); margin: 1rem; padding: 2rem; background: var(--paper);
  border: 1px solid var(--line); border-radius: .75rem; }
.brand { margin: 0; color: var(--soft); font-size: .875rem; letter-spacing: .04em; }
h1 { margin: .25rem 0 1rem; font-size: 1.375rem; line-height: 1.25; }
p { margin: 0 0 1rem; }
label { display: block; margin: 0 0 1rem; font-weight: 600; }
input { display: block; width: 100%; margin-top: .25rem; padding: .625rem .75rem; font: inherit; color: inherit;
  background: var(--ground); border: 1px solid var(--line); border-radius: .375rem; }
.code { font: 600 1.5rem/1.4 ui-monospace, monospace; letter-spacing: .12em; text-transform: uppercase; }
p.code { text-align: center; padding: .5rem; background: var(--ground); border-radius: .375rem; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; margin: 0 0 1.25rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.answers { display: flex; gap: .75rem; }
button { flex: 1; width: 100%; padding: .625rem 1rem; font: inherit; font-weight: 600; cursor: pointer;
  border: 1px solid var(--key); border-radius: .375rem; background: var(--key); color: var(--key-ink); }
button.second { background: transparent; color: var(--ink); border-color: var(--line); }
:is(input, button):focus-visible { outline: 3px solid var(--key); outline-offset: 2px; }
.wrong { padding: .625rem .75rem; border-left: 4px solid var(--wrong); color: var(--wrong); font-weight: 600; }
.note { margin: 1rem 0 0; color: var(--soft); font-size: .875rem; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}


def sign_in(
    code: str = "", owner: str = "", wrong: str = "", status: int = 200, wait_s: str | None = None
) -> HTMLResponse:
    """`wrong` says what was, where it is asked once more."""
    alert = f'<p class="wrong" role="alert">{escape(wrong)}</p>' if wrong else ""
    # The first field that is still empty is the one to type in.
    focus = ["code", "owner", "password"][0 if not code else 1 if not owner else 2]
    at_code, at_owner, at_password = (" autofocus" if name == focus else "" for name in ("code", "owner", "password"))
    body = f"""{alert}
<form method="post" action="device">
<label>Code that your terminal shows
<input class="code" name="user_code" value="{escape(code)}" required maxlength="20" autocomplete="off"
 autocapitalize="characters" spellcheck="false"{at_code}></label>
<label>Owner
<input name="owner" value="{escape(owner)}" required maxlength="255" autocomplete="username" autocapitalize="none"
 spellcheck="false"{at_owner}></label>
<label>Password
<input name="password" type="password" required maxlength="1000" autocomplete="current-password"
{at_password}></label>
<button name="step" value="sign-in">Sign in</button>
</form>"""
    return _page("Log in a device", body, status, {"Retry-After": wait_s} if wait_s else {})


def confirm(request: DeviceRequest, owner: str, nonce: str, ago: str) -> HTMLResponse:
    """`ago` says in words how long ago the device asked."""
    facts = {"Device": request.device or "unnamed", "Address": request.address, "Asked": ago, "Client": request.client}
    rows = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    body = f"""
<p>A device that shows this code asks to record and read experiments as <strong>{escape(owner)}</strong>:</p>
<p class="code">{shown_code(request.user_code)}</p>
<dl>{rows}</dl>
<form method="post" action="device">
<input type="hidden" name="user_code" value="{request.user_code}">
<input type="hidden" name="nonce" value="{escape(nonce)}">
<div class="answers">
<button name="step" value="approve">Approve</button>
<button name="step" value="deny" class="second">Deny</button>
</div>
</form>
<p class="note">Approve only if you started <code>ml-dash login</code> yourself, just now.</p>"""
    return _page("Let this device in?", body)


def welcome(url: str, version: str, *, shows_only: bool) -> HTMLResponse:
    """What this is, for who opens the server's address in a browser."""
    address = escape(url)
    record = f"<p>Record to it:</p><p><code>Experiment(prefix=…, dash_url=&quot;{address}&quot;)</code></p>"
    body = f"""
<p>This is a server of experiments. Programs speak to it; here is no more to see than this.</p>
{"" if shows_only else record}
<p>See what there is:</p><p><code>ml-dash list --dash-url {address}</code></p>
<p class="note">ml-dash {escape(version)} · <a href="v1/health">health</a></p>"""
    return _page("It runs", body)


def message(title: str, text: str, status: int = 200) -> HTMLResponse:
    return _page(title, f'<p role="status">{escape(text)}</p>', status)


def _page(title: str, body: str, status: int = 200, headers: dict[str, str] | None = None) -> HTMLResponse:
    html = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} – ml-dash</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<p class="brand">ml-dash</p>
<h1>{escape(title)}</h1>{body}
</main>
</body>
</html>
"""
    return HTMLResponse(html, status, {**HEADERS, **(headers or {})})
