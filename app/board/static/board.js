// The board without waiting: live by the stream, the slider without a reload, statements beside the figure.
// Every page works without this file; it is the only script, and it asks no other host.
"use strict";
(() => {
  const live = document.getElementById("live");
  if (!live) return;
  document.documentElement.classList.add("scripted");
  const language = document.documentElement.lang;
  const SILENT_MS = 40000; // the stream says something every 15 s
  const DAILY_MS = 600000; // days left change by themselves
  const relative = (numeric) => new Intl.RelativeTimeFormat(language === "ar" ? "ar-u-nu-latn" : language, { style: "short", numeric });
  const [ago, orNow] = ["always", "auto"].map(relative);
  // As the server writes dates.
  const locale = { en: "en-GB", ar: "ar-u-nu-latn" }[language] || language;
  const days = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
  const clock = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });
  const content = () => document.getElementById("content");

  // --- what is shown -----------------------------------------------------------------------------------------------
  let shownAt = Date.now();
  let shownFrom = location.pathname + location.search;
  let loading = null;
  let again = false;
  let rest = 0;

  // True when it is shown, false when it could not be had, null when something else was asked for meanwhile.
  async function load(url, { push = null, moved = push } = {}) {
    loading?.abort();
    const mine = (loading = new AbortController());
    const started = performance.now();
    try {
      const answer = await fetch(url, { cache: "no-cache", signal: mine.signal, headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      if (mine.signal.aborted) return null;
      const page = new DOMParser().parseFromString(text, "text/html");
      if (!page.getElementById("live")) return void location.assign(answer.url);
      swap(page, { moved });
      if (push) history[push](null, "", answer.url);
      shownFrom = location.pathname + location.search;
      shownAt = Date.now();
      return true;
    } catch (error) {
      if (error.name === "AbortError") return null;
      setState("lost");
      return false;
    } finally {
      if (loading === mine) loading = null;
      rest = Math.max(1000, 10 * (performance.now() - started));
    }
  }

  function swap(page, { moved }) {
    const before = new Map([...document.querySelectorAll("[data-key]")].map((each) => [each.dataset.key, each.textContent]));
    const focused = document.activeElement;
    const path = focused && content().contains(focused) ? focused.id || focused.getAttribute("href") : null;
    const opened = [...content().querySelectorAll("details")].map((each) => each.open);
    const slider = document.getElementById("step");
    const start = slider?.form.elements.start.value;
    const fresh = page.getElementById("content");
    content().replaceWith(document.adoptNode(fresh));
    document.title = page.title;
    fresh.querySelectorAll("details").forEach((each, at) => (each.open = Boolean(opened[at])));
    // A slider that is held keeps the hand that holds it.
    const next = document.getElementById("step");
    atStep = next?.value;
    if (path === "step" && next?.max === slider.max && next.form.elements.start.value === start) next.replaceWith(slider);
    equip();
    const changed = [...fresh.querySelectorAll("[data-key]")].filter((each) => before.get(each.dataset.key) !== each.textContent);
    for (const each of changed) each.classList.add("changed");
    // Said by screen readers, but not at each step of a replay; what has changed carries a mark for everybody else.
    const time = document.querySelector("#time h2")?.textContent ?? "";
    const updated = changed.length ? `${live.dataset.updated} ${days.format(new Date())} ${clock.format(new Date())}` : "";
    live.querySelector(".news").textContent = playing !== null ? "" : moved ? time : updated;
    if (path) (document.getElementById(path) || fresh.querySelector(`[href="${CSS.escape(path)}"]`))?.focus({ preventScroll: true });
  }

  let due = null;
  function refresh() {
    if (due || playing) return void (again = true);
    due = setTimeout(async () => {
      again = false;
      if (!(await load(location.href))) again = true;
      due = setTimeout(() => {
        due = null;
        if (again) refresh();
      }, rest);
    }, 50);
  }

  // --- the link ----------------------------------------------------------------------------------------------------
  let heardAt = 0;
  let cursor = null;
  let attempt = 0;
  let link = null;

  function setState(state) {
    if (live.dataset.state === state) return;
    live.dataset.state = state;
    live.querySelector(".words").textContent = live.dataset[state];
    tell();
  }

  function tell() {
    const state = live.dataset.state;
    const since = state === "live" ? heardAt : shownAt;
    const seconds = Math.round((Date.now() - since) / 1000);
    const age = seconds < 60 ? (state === "live" ? orNow : ago).format(-seconds, "second") : seconds < 7200 ? ago.format(-Math.round(seconds / 60), "minute") : ago.format(-Math.round(seconds / 3600), "hour");
    live.querySelector(".age").textContent = `${state === "live" ? live.dataset.checked : live.dataset.held} ${age}`;
  }

  async function follow() {
    link = new AbortController();
    const quiet = setInterval(() => Date.now() - heardAt > SILENT_MS && link.abort(), 5000);
    heardAt = Date.now();
    try {
      const headers = { Accept: "text/event-stream" };
      if (cursor) headers["Last-Event-ID"] = cursor;
      const answer = await fetch(live.dataset.stream, { headers, cache: "no-store", signal: link.signal });
      if (answer.status === 422) cursor = null; // after a restored backup
      if (answer.status === 401) return void location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      attempt = 0;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        heardAt = Date.now();
        setState("live");
        text += value;
        const events = text.split(/\r?\n\r?\n/);
        text = events.pop();
        events.forEach(take);
      }
    } catch {
      // told below
    } finally {
      clearInterval(quiet);
    }
    setState("lost");
    setTimeout(follow, Math.min(1000 * 2 ** attempt++, 15000) * (0.75 + Math.random() / 2));
  }

  function take(block) {
    const event = {};
    for (const line of block.split(/\r?\n/)) {
      const [, name, value] = /^(\w+): ?(.*)$/.exec(line) || [];
      if (name) event[name] = value;
    }
    if (event.id) cursor = event.id;
    if (event.event === "ready") {
      // What came between the page and the link.
      if (String(JSON.parse(event.data).revision) !== content().dataset.revision) refresh();
      shownAt = Date.now();
    } else if (event.event) {
      refresh();
    }
  }

  // --- the slider --------------------------------------------------------------------------------------------------
  let playing = null;
  let atStep = document.getElementById("step")?.value; // of what is shown

  function nameOf(slider) {
    if (slider.value === slider.max) return document.getElementById("moment").dataset.now;
    const start = new Date(`${slider.form.elements.start.value}T00:00:00Z`);
    return days.format(new Date(start.getTime() + Number(slider.value) * 86400000));
  }

  async function show(slider, push = "pushState") {
    const url = new URL(slider.form.action);
    url.search = new URLSearchParams(new FormData(slider.form));
    const shown = await load(url, { push });
    // A day that could not be had is not written over the figures of another.
    if (shown === false) {
      slider.value = atStep;
      tellDay(slider);
    }
    return shown;
  }

  function tellDay(slider) {
    document.getElementById("moment").textContent = nameOf(slider);
    slider.setAttribute("aria-valuetext", nameOf(slider));
  }

  function stop() {
    clearTimeout(playing);
    playing = null;
    const button = document.getElementById("replay");
    if (button) button.textContent = button.dataset.play;
    live.querySelector(".news").textContent = document.querySelector("#time h2").textContent;
    if (again) refresh();
  }

  async function play() {
    const slider = document.getElementById("step");
    if (Number(slider.value) >= Number(slider.max)) return stop();
    slider.value = Number(slider.value) + 1;
    tellDay(slider);
    // A replay is one step back, not as many as it has days.
    if (!(await show(slider, playing === 0 ? "pushState" : "replaceState")) || playing === null) return stop();
    document.getElementById("replay").textContent = document.getElementById("replay").dataset.pause;
    playing = setTimeout(play, 900);
  }

  function equip() {
    const slider = document.getElementById("step");
    const button = document.getElementById("replay");
    if (!slider) return;
    button.hidden = false;
    slider.oninput = () => tellDay(slider);
    slider.onchange = () => show(slider);
    button.onclick = () => {
      if (playing !== null) return stop();
      if (slider.value === slider.max) slider.value = 0;
      button.textContent = button.dataset.pause;
      playing = 0;
      play();
    };
  }

  // --- who said it -------------------------------------------------------------------------------------------------
  async function explain(anchor) {
    const url = new URL(anchor.href);
    const answer = await fetch(url, { cache: "no-cache" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const section = page.getElementById(url.hash.slice(1));
    if (!section) return void location.assign(url);
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-labelledby", section.getAttribute("aria-labelledby"));
    const bar = document.createElement("p");
    bar.className = "close";
    const whole = document.createElement("a");
    whole.href = url;
    whole.textContent = page.querySelector("h1").textContent;
    const form = document.createElement("form");
    form.method = "dialog";
    const close = document.createElement("button");
    close.textContent = "✕";
    close.setAttribute("aria-label", page.getElementById("content").dataset.close || "Close");
    form.append(close);
    bar.append(whole, form);
    dialog.append(bar, document.adoptNode(section));
    dialog.onclose = () => {
      dialog.remove();
      // What came meanwhile has put another link in its place.
      const there = anchor.isConnected ? anchor : content().querySelector(`[href="${CSS.escape(anchor.getAttribute("href"))}"]`);
      there?.focus();
    };
    dialog.onclick = (event) => event.target === dialog && dialog.close();
    document.body.append(dialog);
    dialog.showModal();
  }

  document.addEventListener("click", (event) => {
    const anchor = event.target.closest?.("a[data-panel]");
    if (!anchor || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    // Without the link nothing would be there to go to, and the board would be gone.
    explain(anchor).catch(() => setState("lost"));
  });

  // A step to another part of the same page is one as well, and needs nothing.
  window.addEventListener("popstate", () => location.pathname + location.search !== shownFrom && load(location.href, { moved: true }));
  window.addEventListener("online", () => link?.abort());
  window.addEventListener("offline", () => (link?.abort(), setState("lost")));
  equip();
  setState("connecting");
  setInterval(tell, 1000);
  setInterval(refresh, DAILY_MS);
  follow();
})();
