"""The Python, JavaScript and JSON of the documentation work; tables that follow from the code are up to date."""

import csv
import json
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, get_args

import httpx
import pytest
from playwright.sync_api import Browser, expect
from standardwebhooks import Webhook, WebhookVerificationError

from app.domain.kinds import base
from app.domain.kinds.combining import Part, StatedValue
from app.domain.tlp import Label
from app.exchange.replication.entry_schema import KNOWN_TYPES
from tests.docs import settings_page
from tests.docs.pages import DOCS, ROOT, block, blocks, paths
from tests.docs.shell import HERE
from tests.support.browser import needs_chromium
from tests.support.processes import Server, free_port, serve

# Each Python block of a page is named by the word after its language, and run by a test below, in test_mirror.py or in test_verifying.py.
PYTHON = {"polling.md": ["mirror", "webhook", "run"], "kinds.md": ["kind", "register"], "verifying.md": ["verify"]}


def test_every_python_block_is_run_by_a_test() -> None:
    found = {each.name: [b.info for b in blocks(each) if b.language == "python"] for each in paths()}
    assert {name: infos for name, infos in found.items() if infos} == PYTHON


def test_python_client_example_prints_shown_output(demo: Server, capsys: pytest.CaptureFixture[str]) -> None:
    page = DOCS / "polling.md"
    # The wheel has the same modules under another name.
    code = block(page, "python", "run").replace("lifeline_client", "app.client")
    exec(code.replace(HERE, demo.url), {"KEY": demo.key})  # noqa: S102 - the page's own code
    assert capsys.readouterr().out == block(page, "text")


def test_webhook_example_accepts_only_signed_deliveries() -> None:
    names: dict[str, Any] = {}
    exec(block(DOCS / "polling.md", "python", "webhook"), names)  # noqa: S102 - the page's own code
    secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    body = b'{"specversion":"1.0"}'
    now = datetime.now(UTC)
    signature = Webhook(secret).sign("delivery", now, body.decode())
    headers = {"webhook-id": "delivery", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    assert names["receive"](headers, body, secret) == {"specversion": "1.0"}
    with pytest.raises(WebhookVerificationError):
        names["receive"](headers, b'{"specversion":"1.1"}', secret)


def test_webhook_example_in_javascript_accepts_only_signed_deliveries(tmp_path: Path) -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("node is not installed (Debian: apt-get install nodejs): the JavaScript of polling.md is not run")
    secret, body = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", '{"specversion":"1.0"}'
    now = datetime.now(UTC)
    headers = {"webhook-id": "delivery", "webhook-timestamp": str(int(now.timestamp()))}
    headers["webhook-signature"] = f"v1,AAAA {Webhook(secret).sign('delivery', now, body)}"
    before = {**headers, "webhook-timestamp": str(int(now.timestamp()) - 301)}
    forged = [{**headers, "webhook-signature": "v1,AAAA"}, {**headers, "webhook-id": "other"}, {**headers, "webhook-timestamp": "now"}]
    tries = [[headers, body], [headers, body + " "], [before, body], *([each, body] for each in forged)]
    (tmp_path / "receive.mjs").write_text(block(DOCS / "polling.md", "js", "webhook"))
    call = "(t) => { try { return receive(t[0], t[1], secret) } catch (error) { return error.message } }"
    script = f"import {{ receive }} from './receive.mjs';\nconst secret = '{secret}';\n"
    (tmp_path / "run.mjs").write_text(f"{script}console.log(JSON.stringify({json.dumps(tries)}.map({call})))")
    ran = subprocess.run([node, "run.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    wrong = "wrong signature"
    assert json.loads(ran.stdout) == [{"specversion": "1.0"}, wrong, "too old", wrong, wrong, "too old"]


def test_orval_example_reads_json_and_xml_and_names_the_type_of_a_body(demo: Server, tmp_path: Path) -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("node is not installed (Debian: apt-get install nodejs): the TypeScript of clients.md is not run")
    # TypeScript without its types is JavaScript.
    script = re.sub(r"<T>|: (string|RequestInit|Promise<T>)(?=[,)\s])| as T;", "", block(DOCS / "clients.md", "ts"))
    options = json.dumps({"method": "POST", "headers": {"Authorization": f"Bearer {demo.key}"}, "body": "[]"})
    calls = f"[['/v1/alerts', {{}}], ['/v1/places', {{}}], ['/v1/imports', {options}]]"
    run = f"for (const [path, options] of {calls}) console.log(typeof (await lifeline('{demo.url}' + path, options)).data);"
    (tmp_path / "run.mjs").write_text(f"{script}\n{run}")
    ran = subprocess.run([node, "run.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.split() == ["string", "object", "object"]


def test_grafana_and_r_examples_name_what_the_demo_serves(demo: Server, tmp_path: Path) -> None:
    page = DOCS / "clients.md"
    (target,) = json.loads(block(page, "json", "grafana"))["targets"]
    params = {each["key"]: each["value"] for each in target["url_options"]["params"]}
    items = httpx.get(target["url"].replace(HERE, demo.url), params=params).json()[target["root_selector"]]
    for column in target["columns"]:
        value: Any = items[0]
        for name in column["selector"].split("."):
            value = value[name]
        assert value is not None, column
    script = block(page, "r")
    path, columns = re.search(r'read\("(/v1/[^"]+)"\)', script), re.findall(r'"([a-z_]+(?:\.[a-z_]+)?)"', script.splitlines()[-1])
    assert path is not None
    rows = list(csv.DictReader(httpx.get(demo.url + path[1]).text.splitlines()))
    assert len(columns) == 4
    assert all(rows[0][each] for each in columns)
    assert not rows[0]["place.name"].startswith("#")
    if (rscript := shutil.which("Rscript")) is not None:
        (tmp_path / "read.R").write_text(script.replace(HERE, demo.url))
        ran = subprocess.run([rscript, "read.R"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
        assert "2016-08-11" in ran.stdout


def test_kind_example_declares_all_that_is_required() -> None:
    module = types.ModuleType("app.domain.kinds.your_kind")
    sys.modules[module.__name__] = module
    try:
        exec(block(DOCS / "kinds.md", "python", "kind"), module.__dict__)  # noqa: S102 - the page's own code
        exec(block(DOCS / "kinds.md", "python", "register"), {})  # noqa: S102 - the page's own code
    finally:
        del sys.modules[module.__name__]
    kind = module.__dict__["FacilitiesWorkingKind"]()
    one, none = (StatedValue(kind.resolve(kind.value_model(facility="hospital", working=count), date(2016, 8, 1))) for count in (1, 0))
    assert (kind.compare(one, none), kind.compare(none, one), kind.compare(one, one)) == ("better", "worse", None)
    combined = kind.combine(Part([one, none], one))
    value = combined.value
    assert value == {"facility": "hospital", "working": 1, "working_low": 0, "working_high": 1}
    assert combined.basis == {"working": one, "working_low": none, "working_high": one}
    at = datetime(2016, 8, 1, tzinfo=UTC)
    assert kind.risk(value, at) is None
    assert kind.risk(kind.combine(Part([none], none)).value, at).state == "short"
    assert kind.default_label(one.value, "monitor", Label.GREEN) is Label.GREEN
    assert kind.value_model.model_validate(kind.example)


def test_kinds_page_describes_every_member() -> None:
    page = (DOCS / "kinds.md").read_text(encoding="utf-8")
    members = {name for name in (*vars(base.Kind), *base.Kind.__annotations__) if not name.startswith("_")}
    assert [name for name in sorted(members) if f"`{name}" not in page] == []
    assert [group for group in get_args(base.SituationGroup) if f"`{group}`" not in page] == []


def test_architecture_page_has_a_line_for_each_package() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    packages = {str(each.parent.relative_to(ROOT / "app")) for each in (ROOT / "app").rglob("__init__.py")} - {"."}
    # `exchange` and the like hold packages only; `desk` and `drawing` are parts of one.
    listed = {each for each in packages if f"| `{each}/` |" in page}
    holders = {each for each in packages if any(other.startswith(f"{each}/") for other in listed)}
    assert packages - listed - holders == {"board/desk", "board/drawing", "domain/kinds"}


def test_settings_page_is_written_from_the_code() -> None:
    expected = settings_page.page()
    assert settings_page.PAGE.read_text(encoding="utf-8") == expected, "run `python -m tests.docs.settings_page`"


def test_operations_page_describes_every_log_event_and_metric(demo: Server) -> None:
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    code = "\n".join(each.read_text(encoding="utf-8") for each in (ROOT / "app").rglob("*.py"))
    events = set(re.findall(r"""\b(?:log\.\w+|_log_error)\((?:level, )?"(\w+)\"""", code))
    text = httpx.get(f"{demo.url}/metrics", headers={"Authorization": f"Bearer {demo.key}"}).text
    metrics = set(re.findall(r"^# TYPE (lifeline_\w+) ", text, re.MULTILINE))
    assert (len(events) >= 10, len(metrics) >= 10) == (True, True)
    assert sorted(name for name in events | metrics if f"`{name}`" not in page) == []


def test_log_line_of_operations_page_has_the_fields_that_are_logged(demo: Server) -> None:
    (shown,) = [json.loads(each.text) for each in blocks(DOCS / "operations.md") if each.language == "json"]
    httpx.get(f"{demo.url}/v1/indicators", params={"limit": 7})
    lines = [json.loads(line) for line in demo.output.read_text().splitlines() if line.startswith("{")]
    logged = next(each for each in lines if each["event"] == "request" and each["route"] == "/v1/indicators")
    assert shown.keys() == logged.keys()


@contextmanager
def served(text: str, port: int) -> Iterator[str]:
    """Serve one HTML page on 127.0.0.1, as a site of its own; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{port}"
        server.shutdown()
        thread.join()


def test_pages_name_every_type_of_change() -> None:
    assert set(re.findall(r"`(\w+)`", "".join(re.findall(r"(?m)^(\| `[a-z_`, ]+ \|)", (DOCS / "polling.md").read_text())))) >= KNOWN_TYPES
    named = set(re.findall(r'"([a-z_]+)"', block(DOCS / "dashboards.md", "js")))
    assert KNOWN_TYPES - named == {"withheld", "proposal"}


@needs_chromium
def test_event_source_example_survives_errors_and_removes_tombstones(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    database, origins = f"sqlite:///{tmp_path / 'demo.db'}", json.dumps([f"http://127.0.0.1:{port}"])
    with ExitStack() as stack:
        lifeline = stack.enter_context(serve(tmp_path, "--demo", database_url=database, cors_origins=origins))
        script = block(DOCS / "dashboards.md", "js").replace("https://lifeline.example", lifeline.url).replace("wait = 1000", "wait = 10")
        url = stack.enter_context(served(f"<!doctype html><body></body><script>{script}</script>", port))
        page = stack.enter_context(browser.new_page())
        failures = [502, 503, 422]
        page.route("**/v1/stream?*", lambda route: route.fulfill(status=failures.pop(0)) if failures else route.continue_())
        page.goto(url)
        expect(page.locator("body")).to_contain_text("Eastern Aleppo")
        assert failures == []
        expect(page.locator("body")).not_to_contain_text("encircled")
        body = {
            "kind": "trapped_population",
            "place": "aleppo-east",
            "source": "un",
            "stated_at": "2016-11-15",
            "value": {"concept": "encircled", "people_low": 1000, "people_high": 2000},
            "sensitivity": "clear",
        }
        answer = httpx.post(f"{lifeline.url}/v1/reports", json=body, headers={"Authorization": f"Bearer {lifeline.key}"})
        assert answer.status_code == 201, answer.text
        expect(page.locator("body")).to_contain_text("encircled: 1000 to 2000 (single)")
        raised = httpx.post(
            f"{lifeline.url}/v1/reports/{answer.json()['id']}/label",
            json={"sensitivity": "red", "reason": "not public"},
            headers={"Authorization": f"Bearer {lifeline.key}"},
        )
        assert raised.status_code == 201, raised.text
        expect(page.locator("body")).not_to_contain_text("encircled")
