// Keeps parts of a page up to date without reloading it.
//
// <div data-live="<address of a fragment>" data-live-instance="<id>"> gets the fragment's HTML whenever an event of that
// instance arrives; without data-live-instance any event counts. Within a fragment an element with data-live-part is
// replaced only when its HTML has changed. One with data-live-elsewhere belongs to the element of the same id at another
// place of the page, which is replaced only when its data-live-version differs. Events come from /admin/events: as a
// stream, or by asking again and again where no stream is to be had. The element [data-live-state] says which.
// `live:replaced` is dispatched on an element with new content, before the focus and the scrolling come back.
// What somebody has selected stays until the selection is gone.
"use strict";

(() => {
  const EVENTS = "/admin/events";
  const QUIET_MS = 300; // at most one refresh in this time, and always one after the last event
  const POLL_MS = 3000;
  const CHECK_MS = 30000; // while a stream is open: what no event tells of is seen as well
  const STREAM_AGAIN_MS = 60000;
  const FAILURES = 3; // streams that break one after the other before polling takes over
  // An EventSource hands out named events to listeners of that name only.
  const KINDS = [
    "edges.changed",
    "instance.activated", "instance.cleaned_up", "instance.created", "instance.deactivated", "instance.deleted",
    "instance.deleting", "instance.initialized", "instance.initializing", "instance.pods_forced",
    "instance.setup_failed", "instance.stopped", "instance.synced", "instance.uninitialized",
    "instance.uninitializing", "instance.updated", "instance.warning",
    "node.created", "node.deleted", "node.expired", "node.failed", "node.pending", "node.running", "node.stopped",
    "node.succeeded", "node.trouble", "node.updated", "node.vanished",
    "run.accepted", "run.failed", "run.stopped", "run.succeeded",
    "template.created", "template.deleted", "template.updated",
  ];
  const WORDS = {
    live: "live",
    polling: "polling every few seconds",
    offline: "offline: what is shown may be old",
    gone: "this does not exist any more, or you may not see it",
    "signed out": "you are signed out: reload the page to sign in",
  };

  class Part {
    constructor(element) {
      this.element = element;
      this.url = element.dataset.live;
      this.instance = element.dataset.liveInstance || "";
      this.version = element.dataset.liveVersion || "";
      this.html = new Map(); // what the server sent last, by name of the inner part
      this.timer = 0;
      this.last = 0;
      this.isBusy = false;
      this.isWanted = false;
      this.isPutOff = false; // whether something new waits until a selection is gone
      this.pause = QUIET_MS;
    }

    // One refresh soon. Calls during a refresh lead to one more after it.
    want() {
      this.isWanted = true;
      if (this.timer || this.isBusy || document.hidden) return;
      const wait = Math.max(0, this.last + this.pause - Date.now());
      this.timer = setTimeout(() => this.refresh(), wait);
    }

    async refresh() {
      this.timer = 0;
      this.isBusy = true;
      this.isWanted = false;
      const began = Date.now();
      try {
        const headers = this.version ? { "If-None-Match": this.version } : {};
        const answer = await fetch(this.url, { headers, cache: "no-store", credentials: "same-origin" });
        const then = Date.parse(answer.headers.get("Date"));
        if (then) skew = Math.round((Date.now() - then) / 1000);
        if (answer.redirected) return connection.end("signed out");
        if (answer.status === 403 || answer.status === 404) return connection.end("gone");
        if (answer.ok) {
          this.show(await answer.text());
          // What is shown in part is no version: all of it is to come again.
          this.version = (!this.isPutOff && answer.headers.get("ETag")) || "";
        } else if (answer.status !== 304) {
          throw new Error(`status ${answer.status}`);
        }
        connection.reached(true);
      } catch (error) {
        console.warn(`what ${this.url} answers cannot be shown:`, error);
        connection.reached(false);
      } finally {
        // A page that takes long to make is asked for less often.
        this.pause = Math.max(QUIET_MS, 3 * (Date.now() - began));
        this.last = Date.now();
        this.isBusy = false;
        if (this.isWanted) this.want();
      }
      return undefined;
    }

    show(text) {
      const fresh = document.createElement("template");
      fresh.innerHTML = text;
      this.isPutOff = false;
      for (const part of fresh.content.querySelectorAll("[data-live-elsewhere]")) {
        part.remove();
        const old = document.getElementById(part.id);
        if (!old || old.dataset.liveVersion === part.dataset.liveVersion) continue;
        old.dataset.liveVersion = part.dataset.liveVersion;
        replace(old, () => old.replaceChildren(...part.childNodes));
      }
      const parts = [...fresh.content.querySelectorAll("[data-live-part]")];
      const known = this.element.querySelectorAll("[data-live-part]");
      if (parts.length && parts.length === known.length) {
        for (const part of parts) {
          const name = part.dataset.livePart;
          const old = this.element.querySelector(`[data-live-part="${CSS.escape(name)}"]`);
          const html = part.innerHTML;
          if (!old || this.html.get(name) === html) continue;
          if (isSelected(old)) {
            this.isPutOff = true;
            continue;
          }
          this.html.set(name, html);
          replace(old, () => old.replaceChildren(...part.childNodes));
        }
      } else if (isSelected(this.element)) {
        this.isPutOff = true;
      } else {
        replace(this.element, () => this.element.replaceChildren(fresh.content));
      }
    }
  }

  // Whether somebody has selected a text in the element: it would be lost.
  function isSelected(element) {
    const selection = document.getSelection();
    return Boolean(selection) && !selection.isCollapsed && selection.getRangeAt(0).intersectsNode(element);
  }

  // Replaces the content of an element; focus, scrolling and opened details are as before.
  function replace(element, change) {
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    const focus = focused ? address(focused) : "";
    const fold = focused?.closest("details")?.querySelector("summary");
    const nearby = fold ? address(fold) : ""; // where the focus goes when what had it is gone
    const scrolled = [...element.querySelectorAll("[id]")]
      .filter((item) => item.scrollTop || item.scrollLeft)
      .map((item) => [item.id, item.scrollTop, item.scrollLeft]);
    const open = [...element.querySelectorAll("details[open]")].map(address);
    change();
    element.dispatchEvent(new CustomEvent("live:replaced", { bubbles: true }));
    for (const [id, top, left] of scrolled) {
      document.getElementById(id)?.scrollTo({ top, left, behavior: "instant" });
    }
    for (const item of element.querySelectorAll("details")) {
      if (open.includes(address(item))) item.open = true;
    }
    const target = (focus && find(element, focus)) || (nearby && find(element, nearby));
    if (target) target.focus({ preventScroll: true });
    tick();
  }

  function address(item) {
    if (item.id) return `#${item.id}`;
    if (item.getAttribute("href")) return `=${item.getAttribute("href")}`;
    return item.tagName === "DETAILS" ? `>${item.querySelector("summary")?.textContent.trim()}` : "";
  }

  function find(element, where) {
    const candidates = element.querySelectorAll("a[href], button, summary, details, [tabindex], input, select, textarea");
    return [...candidates].find((item) => address(item) === where);
  }

  // Durations of what still goes on.
  function tick() {
    for (const item of document.querySelectorAll("[data-since]")) {
      const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(item.dataset.since)) / 1000) - skew);
      const parts = [[Math.floor(seconds / 3600), "h"], [Math.floor(seconds / 60) % 60, "min"], [seconds % 60, "s"]];
      const words = parts.filter(([number]) => number).slice(0, Number(item.dataset.sinceUnits || 3));
      const text = words.map(([number, unit]) => `${number}\u00a0${unit}`).join("\u00a0") || "0\u00a0s";
      const whole = (item.dataset.sinceBefore || "") + text;
      if (item.textContent !== whole) item.textContent = whole;
    }
  }

  class Connection {
    constructor(parts) {
      this.parts = parts;
      const instances = new Set(parts.map((part) => part.instance));
      this.filter = instances.size === 1 && !instances.has("") ? `instance_id=${encodeURIComponent([...instances][0])}` : "";
      this.cursor = "";
      this.source = null;
      this.timer = 0;
      this.check = 0;
      this.again = 0;
      this.failures = 0;
      this.isOver = false;
      this.state = "";
    }

    say(state) {
      if (state === this.state) return;
      this.state = state;
      for (const item of document.querySelectorAll("[data-live-state]")) {
        item.dataset.state = state;
        item.textContent = WORDS[state];
      }
    }

    // Whether the last question was answered.
    reached(isAnswered) {
      if (this.isOver) return;
      if (!isAnswered) this.say("offline");
      else this.say(this.source?.readyState === EventSource.OPEN ? "live" : "polling");
    }

    end(state) {
      this.isOver = true;
      this.stop();
      this.say(state);
    }

    start() {
      if (this.isOver || document.hidden) return;
      if (this.failures < FAILURES && "EventSource" in window) this.stream();
      else this.pollInstead();
      if (!this.check) this.check = setInterval(() => this.all(), CHECK_MS);
    }

    stop() {
      this.source?.close();
      this.source = null;
      clearTimeout(this.timer);
      clearTimeout(this.again);
      clearInterval(this.check);
      this.timer = this.again = this.check = 0;
    }

    stream() {
      const after = this.cursor ? `after=${encodeURIComponent(this.cursor)}` : "";
      const source = new EventSource(`${EVENTS}?${[this.filter, after].filter(Boolean).join("&")}`);
      this.source = source;
      source.onopen = () => {
        this.failures = 0;
        this.say("live");
        this.all(); // whatever happened before the stream began
      };
      source.onmessage = (event) => this.arrived(event);
      for (const kind of KINDS) source.addEventListener(kind, (event) => this.arrived(event));
      source.onerror = () => {
        this.failures += 1;
        // The browser tries again by itself, unless the answer was no stream (503: there are too many).
        if (source.readyState !== EventSource.CLOSED && this.failures < FAILURES) {
          this.say("offline");
          return;
        }
        source.close();
        this.source = null;
        this.failures = FAILURES;
        this.pollInstead();
      };
    }

    // Until a stream is worth another try.
    pollInstead() {
      this.poll();
      clearTimeout(this.again);
      this.again = setTimeout(() => {
        this.failures = 0;
        this.stop();
        this.start();
      }, STREAM_AGAIN_MS);
    }

    arrived(event) {
      this.cursor = event.lastEventId || this.cursor;
      let instance = "";
      try {
        instance = JSON.parse(event.data).instance_id;
      } catch {
        // An event that cannot be read still says that something happened.
      }
      for (const part of this.parts) {
        if (!part.instance || !instance || part.instance === instance) part.want();
      }
    }

    // Asking each part itself is cheap: an unchanged one is answered by 304.
    poll() {
      clearTimeout(this.timer);
      this.all();
      this.timer = setTimeout(() => this.poll(), POLL_MS);
    }

    all() {
      for (const part of this.parts) part.want();
    }
  }

  let skew = 0; // by how many seconds this computer's clock is ahead of the server's
  let connection = null;

  function begin() {
    const parts = [...document.querySelectorAll("[data-live]")].map((element) => new Part(element));
    setInterval(() => document.hidden || tick(), 1000);
    if (!parts.length) return;
    connection = new Connection(parts);
    connection.start();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) {
        connection.stop();
      } else {
        connection.start();
        connection.all();
      }
    });
    document.addEventListener("selectionchange", () => {
      for (const part of parts) if (part.isPutOff && !isSelected(part.element)) part.want();
    });
    window.addEventListener("online", () => connection.all());
    window.addEventListener("pagehide", () => connection.stop());
    window.addEventListener("pageshow", (event) => event.persisted && connection.start());
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
