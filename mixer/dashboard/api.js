// The JSON API: the same one as the command line's. Always holds: what a page shows is asked for only while it is looked at.

import { say } from "./dom.js";

const KEPT = "phasemix-token";
const answers = new Map(); // path -> { tag, body }

export class ApiError extends Error {
  constructor(message, kind, status) {
    super(message);
    Object.assign(this, { kind, status });
  }
}

export function token() {
  return sessionStorage.getItem(KEPT) ?? "";
}

export function keepToken(text) {
  if (text) sessionStorage.setItem(KEPT, text);
  else sessionStorage.removeItem(KEPT);
  answers.clear();
}

async function ask(path, options, headers) {
  if (token()) headers.Authorization = `Bearer ${token()}`;
  let answer;
  try {
    answer = await fetch(`api/v1/${path}`, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("the service does not answer; is it running? phasemix status", "Unreachable", 0);
  }
  if (answer.ok || answer.status === 304) return answer;
  const body = await answer.json().catch(() => ({}));
  throw new ApiError(body.error ?? `${answer.status} ${answer.statusText}`, body.kind ?? "Error", answer.status);
}

// The body; the very same object as before while the service says that nothing changed.
export async function get(path, signal) {
  const kept = answers.get(path);
  const answer = await ask(path, { signal }, kept?.tag ? { "If-None-Match": kept.tag } : {});
  if (answer.status === 304) return kept.body;
  const text = await answer.text();
  const body = kept?.text === text ? kept.body : JSON.parse(text, exact);
  answers.set(path, { tag: answer.headers.get("ETag"), text, body });
  return body;
}

// A seed may be larger than what a number holds exactly: such a one stays as it is written.
const exact = (key, value, context) => (key === "seed" && typeof value === "number" && !Number.isSafeInteger(value) ? context?.source ?? value : value);

export async function post(path, body, signal) {
  const answer = await ask(path, { method: "POST", body: JSON.stringify(body), signal }, { "Content-Type": "application/json" });
  return answer.json();
}

export const named = (...words) => words.map(encodeURIComponent).join("/");
export const runPath = (name) => `runs/${named(name)}`;

// Calls `refresh(signal)` now and every `every_ms` while the page is shown and the tab is looked at; the answer's `now()`
// calls it at once, `stop()` ends it. An error shows in the page's state and does not end it.
export function poll(refresh, every_ms = 2000) {
  const ends = new AbortController();
  let timer = null;
  let busy = null;
  const state = document.querySelector("#state");
  async function once() {
    clearTimeout(timer);
    try {
      await refresh(ends.signal);
      if (!ends.signal.aborted) say(state, "up to date");
    } catch (error) {
      if (ends.signal.aborted) return;
      if (!(error instanceof ApiError)) console.error(error);
      say(state, `not up to date: ${error.message}`);
    }
    state.classList.toggle("behind", state.textContent !== "up to date");
    if (!ends.signal.aborted && !document.hidden) timer = setTimeout(now, every_ms);
  }
  async function now() {
    while (busy) await busy; // so that what was asked for before a change is not taken for what is after it
    busy = once().finally(() => { busy = null; });
    await busy;
  }
  const seen = () => { if (!document.hidden) now(); };
  document.addEventListener("visibilitychange", seen, { signal: ends.signal });
  now();
  return { now, stop: () => { clearTimeout(timer); ends.abort(); } };
}
