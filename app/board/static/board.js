// Names offered while typing, live updates by the stream, the time slider without a reload, and statements in a dialog.
// Every page works without this script. It sends requests to this service only.
"use strict";
(() => {
  // The names that a large list offers follow what is typed.
  let typing = null;
  document.addEventListener("input", (event) => {
    const { list, value } = event.target;
    if (!list?.dataset.more || value.trim().length < 3) return;
    clearTimeout(typing);
    typing = setTimeout(async () => {
      const answer = await fetch(`${list.dataset.more}?q=${encodeURIComponent(value.split(",").pop().trim().slice(0, 100))}`).catch(() => null);
      if (!answer?.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const names = [...page.querySelectorAll(".records bdi")].map((each) => each.textContent);
      const known = new Set([...list.options].map((each) => each.value));
      list.append(...names.filter((each) => !known.has(each)).map((each) => new Option("", each)));
    }, 300);
  });

  // What was typed into a form of the desk comes back with the browser's back button, in this tab and this session.
  const typed = document.querySelector("main.desk #form");
  const session = typed?.elements.token.value;
  let signedOut = Boolean(document.getElementById("key"));
  if (signedOut || (session && sessionStorage.session !== session)) sessionStorage.clear();
  document.querySelector("form[action$='/sign-out']")?.addEventListener("submit", () => {
    signedOut = true;
    sessionStorage.clear();
  });
  if (typed) {
    const id = history.state?.typed ?? `typed-${Date.now()}-${Math.random()}`;
    // The entry in the history loses the form that led to the page, so that going back loads its address, and sends nothing.
    const mark = () => history.replaceState({ typed: id }, "");
    mark();
    addEventListener("hashchange", mark);
    const kept = JSON.parse(sessionStorage.getItem(id));
    for (const field of kept ? typed.elements : []) {
      if (["token", "do", "seen", ""].includes(field.name)) continue;
      if (field.type === "checkbox") field.checked = Boolean(kept[field.name]?.includes(field.value));
      else if (kept[field.name]) [field.value] = kept[field.name];
    }
    addEventListener("pagehide", () => {
      if (signedOut) return;
      const values = {};
      for (const [name, value] of new FormData(typed)) (values[name] ??= []).push(value);
      try {
        sessionStorage.session = session;
        sessionStorage.setItem(id, JSON.stringify(values));
      } catch {
        sessionStorage.clear(); // it is full
      }
    });
  }

  const live = document.getElementById("live");
  if (!live) return;
  document.documentElement.classList.add("with-script");
  const language = document.documentElement.lang;
  const MAX_SILENCE_MS = 40000; // the stream sends a message every 15 s
  const REFRESH_MS = 600000; // days left change without a new statement
  const relative = (numeric) => new Intl.RelativeTimeFormat(language === "ar" ? "ar-u-nu-latn" : language, { style: "short", numeric });
  const [ago, agoOrNow] = ["always", "auto"].map(relative);
  // The server formats dates the same way.
  const locale = { en: "en-GB", ar: "ar-u-nu-latn" }[language] || language;
  const days = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
  const clock = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });
  const content = () => document.getElementById("content");
  const announce = (text) => (live.querySelector(".announcement").textContent = text);

  // --- load a page -------------------------------------------------------------------------------------------------
  let loadedAt = Date.now();
  let loadedPath = location.pathname + location.search;
  let loading = null;
  let refreshAgain = false;
  let pauseMs = 0;

  // Return true once the page is shown, false when it could not be loaded, null when another load replaced this one.
  async function load(url, { push = null, moved = push } = {}) {
    loading?.abort();
    const controller = (loading = new AbortController());
    const started = performance.now();
    try {
      const response = await fetch(url, { cache: "no-cache", signal: controller.signal, headers: { Accept: "text/html" } });
      if (!response.ok) throw new Error(String(response.status));
      const text = await response.text();
      if (controller.signal.aborted) return null;
      const page = new DOMParser().parseFromString(text, "text/html");
      if (!page.getElementById("live")) return void location.assign(response.url);
      replaceContent(page, { moved });
      if (push) history[push](null, "", response.url);
      loadedPath = location.pathname + location.search;
      loadedAt = Date.now();
      return true;
    } catch (error) {
      if (error.name === "AbortError") return null;
      setState("lost");
      return false;
    } finally {
      if (loading === controller) loading = null;
      pauseMs = Math.max(1000, 10 * (performance.now() - started));
    }
  }

  function replaceContent(page, { moved }) {
    const before = new Map([...document.querySelectorAll("[data-key]")].map((each) => [each.dataset.key, each.textContent]));
    const focused = document.activeElement;
    const focus = focused && content().contains(focused) ? focused.id || focused.getAttribute("href") : null;
    const opened = [...content().querySelectorAll("details")].map((each) => each.open);
    const slider = document.getElementById("step");
    const start = slider?.form.elements.start.value;
    const fresh = page.getElementById("content");
    content().replaceWith(document.adoptNode(fresh));
    document.title = page.title;
    fresh.querySelectorAll("details").forEach((each, at) => (each.open = Boolean(opened[at])));
    // Keep the slider element while it has the focus; otherwise dragging it would end.
    const next = document.getElementById("step");
    shownStep = next?.value;
    if (focus === "step" && next?.max === slider.max && next.form.elements.start.value === start) next.replaceWith(slider);
    addHandlers();
    turnLater();
    const changed = [...fresh.querySelectorAll("[data-key]")].filter((each) => before.get(each.dataset.key) !== each.textContent);
    for (const each of changed) each.classList.add("changed");
    // For screen readers, but not at each step of a replay. Others see the mark on what has changed.
    const time = document.querySelector("#time h2")?.textContent ?? "";
    const updated = changed.length ? `${live.dataset.updated} ${days.format(new Date())} ${clock.format(new Date())}` : "";
    announce(replay !== null ? "" : moved ? time : updated);
    if (focus) (document.getElementById(focus) || fresh.querySelector(`[href="${CSS.escape(focus)}"]`))?.focus({ preventScroll: true });
  }

  // --- the wall turns its pages ---------------------------------------------------------------------------------------
  let turnTimer = null;
  let turnAt = 0;
  function turnLater() {
    const { turn, next } = content().dataset;
    clearTimeout(turnTimer);
    if (!next) return;
    // A change that is shown meanwhile does not keep a page for longer.
    if (turnAt <= Date.now()) turnAt = Date.now() + turn * 1000;
    turnTimer = setTimeout(async () => (await load(next, { push: "replaceState", moved: false })) || turnLater(), turnAt - Date.now());
  }

  let refreshTimer = null;
  function refresh() {
    if (refreshTimer || replay) return void (refreshAgain = true);
    refreshTimer = setTimeout(async () => {
      refreshAgain = false;
      if (!(await load(location.href))) refreshAgain = true;
      refreshTimer = setTimeout(() => {
        refreshTimer = null;
        if (refreshAgain) refresh();
      }, pauseMs);
    }, 50);
  }

  // --- the stream --------------------------------------------------------------------------------------------------
  let receivedAt = 0;
  let cursor = null;
  let attempt = 0;
  let connection = null;

  function setState(state) {
    if (live.dataset.state === state) return;
    live.dataset.state = state;
    live.querySelector(".text").textContent = live.dataset[state];
    showAge();
  }

  function showAge() {
    const isLive = live.dataset.state === "live";
    const seconds = Math.round((Date.now() - (isLive ? receivedAt : loadedAt)) / 1000);
    const [value, unit] = seconds < 60 ? [seconds, "second"] : seconds < 7200 ? [Math.round(seconds / 60), "minute"] : [Math.round(seconds / 3600), "hour"];
    const age = (isLive && unit === "second" ? agoOrNow : ago).format(-value, unit);
    live.querySelector(".age").textContent = `${isLive ? live.dataset.checked : live.dataset.loaded} ${age}`;
  }

  async function connect() {
    connection = new AbortController();
    const watchdog = setInterval(() => Date.now() - receivedAt > MAX_SILENCE_MS && connection.abort(), 5000);
    receivedAt = Date.now();
    try {
      const headers = { Accept: "text/event-stream" };
      if (cursor) headers["Last-Event-ID"] = cursor;
      const response = await fetch(live.dataset.stream, { headers, cache: "no-store", signal: connection.signal });
      if (response.status === 422) cursor = null; // after a restored backup
      if (response.status === 401) return void location.reload();
      if (!response.ok) throw new Error(String(response.status));
      attempt = 0;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        receivedAt = Date.now();
        setState("live");
        text += value;
        const events = text.split(/\r?\n\r?\n/);
        text = events.pop();
        events.forEach(handleEvent);
      }
    } catch {
      // The state below shows it.
    } finally {
      clearInterval(watchdog);
    }
    setState("lost");
    setTimeout(connect, Math.min(1000 * 2 ** attempt++, 15000) * (0.75 + Math.random() / 2));
  }

  function handleEvent(block) {
    const event = {};
    for (const line of block.split(/\r?\n/)) {
      const [, name, value] = /^(\w+): ?(.*)$/.exec(line) || [];
      if (name) event[name] = value;
    }
    if (event.id) cursor = event.id;
    if (event.event === "ready") {
      // Changes between the load of the page and this connection.
      if (String(JSON.parse(event.data).revision) !== content().dataset.revision) refresh();
      loadedAt = Date.now();
    } else if (event.event) {
      refresh();
    }
  }

  // --- the time slider ---------------------------------------------------------------------------------------------
  let replay = null; // the timer of the next step, 0 at the first step, null without a replay
  let shownStep = document.getElementById("step")?.value;

  async function showStep(slider, push = "pushState") {
    const url = new URL(slider.form.action);
    url.search = new URLSearchParams(new FormData(slider.form));
    const shown = await load(url, { push });
    // The page still shows the day before when a day could not be loaded.
    if (shown === false) {
      slider.value = shownStep;
      showDay(slider);
    }
    return shown;
  }

  function showDay(slider) {
    const label = document.getElementById("as-of-day");
    const start = new Date(`${slider.form.elements.start.value}T00:00:00Z`);
    const day = slider.value === slider.max ? label.dataset.now : days.format(new Date(start.getTime() + Number(slider.value) * 86400000));
    label.textContent = day;
    slider.setAttribute("aria-valuetext", day);
  }

  function stopReplay() {
    clearTimeout(replay);
    replay = null;
    const button = document.getElementById("replay");
    if (button) button.textContent = button.dataset.play;
    announce(document.querySelector("#time h2").textContent);
    if (refreshAgain) refresh();
  }

  async function replayStep() {
    const slider = document.getElementById("step");
    if (Number(slider.value) >= Number(slider.max)) return stopReplay();
    slider.value = Number(slider.value) + 1;
    showDay(slider);
    // A replay is one entry of the browser's history.
    if (!(await showStep(slider, replay === 0 ? "pushState" : "replaceState")) || replay === null) return stopReplay();
    document.getElementById("replay").textContent = document.getElementById("replay").dataset.pause;
    replay = setTimeout(replayStep, 900);
  }

  function addHandlers() {
    const slider = document.getElementById("step");
    const button = document.getElementById("replay");
    if (!slider) return;
    button.hidden = false;
    slider.oninput = () => showDay(slider);
    slider.onchange = () => showStep(slider);
    button.onclick = () => {
      if (replay !== null) return stopReplay();
      if (slider.value === slider.max) slider.value = 0;
      button.textContent = button.dataset.pause;
      replay = 0;
      replayStep();
    };
  }

  // --- statements in a dialog --------------------------------------------------------------------------------------
  async function showStatements(link) {
    const url = new URL(link.href);
    const response = await fetch(url, { cache: "no-cache" });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const section = page.getElementById(url.hash.slice(1));
    if (!section) return void location.assign(url);
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-labelledby", section.getAttribute("aria-labelledby"));
    const bar = document.createElement("p");
    bar.className = "close";
    const place = document.createElement("a");
    place.href = url;
    place.textContent = page.querySelector("h1").textContent;
    const form = document.createElement("form");
    form.method = "dialog";
    const button = document.createElement("button");
    button.textContent = "✕";
    button.setAttribute("aria-label", page.getElementById("content").dataset.close || "Close");
    form.append(button);
    bar.append(place, form);
    dialog.append(bar, document.adoptNode(section));
    dialog.onclose = () => {
      dialog.remove();
      // An update may have replaced the link meanwhile.
      const target = link.isConnected ? link : content().querySelector(`[href="${CSS.escape(link.getAttribute("href"))}"]`);
      target?.focus();
    };
    dialog.onclick = (event) => event.target === dialog && dialog.close();
    document.body.append(dialog);
    dialog.showModal();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-dialog]");
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    // Without a connection the link would replace the board with the browser's error page.
    showStatements(link).catch(() => setState("lost"));
  });

  // A step to a fragment of the same page needs no load.
  window.addEventListener("popstate", () => location.pathname + location.search !== loadedPath && load(location.href, { moved: true }));
  window.addEventListener("online", () => connection?.abort());
  window.addEventListener("offline", () => (connection?.abort(), setState("lost")));
  addHandlers();
  turnLater();
  setState("connecting");
  setInterval(showAge, 1000);
  setInterval(refresh, REFRESH_MS);
  connect();
})();
