// Which page is shown, for whom. Always holds: what a page shows follows from its address and the store alone.

import { ApiError, get, keepToken, token } from "./api.js";
import { h, say } from "./dom.js";
import { field, form } from "./form.js";

const LIVES = { catalog: "Catalog", streams: "Stream", mixtures: "Mixtures", runs: "Runs", compare: "Compare runs", generators: "Generators" };
const UNDER = { streams: "catalog", compare: "runs" }; // which entry of the navigation they belong to
const AGAIN_MS = 3000;
const main = document.querySelector("#main");
let shown = null; // { stop() }, of the page that is shown

// A word of an address; one that was cut or mistyped stays as it is.
function decoded(word) {
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}

// #/runs/first?by=key -> { page: "runs", words: ["first"], query, set(key, value or null) }
function address() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...words] = path.split("/").filter(Boolean).map(decoded);
  const found = { page: page in LIVES ? page : "catalog", words, path, query: new URLSearchParams(query) };
  found.set = (key, value) => {
    if (value === null || value === "") found.query.delete(key);
    else found.query.set(key, value);
    const text = String(found.query);
    history.replaceState(null, "", `#/${path || found.page}${text ? `?${text}` : ""}`);
  };
  return found;
}

function tokenForm() {
  const given = field("Token", { kind: "password", name: "token", required: true });
  return form("Use it", [given], async (values) => {
    const before = token();
    keepToken(values.token);
    try {
      await get("session");
    } catch (error) {
      keepToken(before);
      throw error;
    }
    await show();
  });
}

function drawSession({ role, by, token_needed: needed }) {
  const place = document.querySelector("#session");
  const who = h("span", { class: "role" }, [by, role !== "write" && "read-only"].filter(Boolean).join(", "));
  const forget = h("button", { type: "button", click: () => { keepToken(""); show(); } }, "Forget the token");
  const change = h("details", { class: "token" }, h("summary", {}, token() ? "Change token" : "Give a token"), h("div", { class: "card" }, tokenForm(), token() ? forget : null));
  place.replaceChildren(who, ...(needed || token() ? [change] : []));
}

function refused(error) {
  const needs = error instanceof ApiError && (error.status === 401 || error.status === 403);
  main.replaceChildren(h("h1", {}, needs ? "A token is needed" : "This page cannot be shown"), h("p", { class: "error", role: "alert" }, error.message),
    ...(needs ? [tokenForm()] : [h("button", { type: "button", click: () => show() }, "Try again")]));
}

async function show() {
  const now = address();
  document.querySelectorAll("nav a").forEach((one) => {
    if (one.hash === `#/${UNDER[now.page] ?? now.page}`) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  });
  document.title = [...now.words, LIVES[now.page], "phasemix"].join(" · ");
  const before = shown;
  shown?.stop?.();
  const mine = {};
  shown = mine;
  try {
    const session = await get("session"); // first: a module that could not be fetched does not say that the service is away
    const page = await import(`./pages/${now.page}.js`);
    if (shown !== mine) return;
    drawSession(session);
    main.replaceChildren();
    Object.assign(mine, await page.show(main, now, session.role === "write"));
    if (shown !== mine) mine.stop?.();
    else if (!mine.stop) say(document.querySelector("#state"), "up to date");
  } catch (error) {
    if (!(error instanceof ApiError)) console.error(error);
    if (shown === mine) {
      refused(error);
      if (error.status === 0 || error.status >= 500) setTimeout(() => { if (shown === mine) show(); }, AGAIN_MS); // it may come back
    }
    say(document.querySelector("#state"), error.message);
  }
  if (before && shown === mine) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

document.querySelector("#skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
document.querySelector("#said").addEventListener("click", (event) => event.currentTarget.classList.add("unseen"));
addEventListener("hashchange", show);
await show();
