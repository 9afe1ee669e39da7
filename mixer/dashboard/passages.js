// Documents as a list to unfold: where each comes from, its score, its text.

import { count, h, say } from "./dom.js";

const OPEN = 2; // of a list, that are unfolded

// `read(one)`: comes with a document and its text, where the list has no texts; then none is unfolded at first.
export function passageList(passages, read = null) {
  if (!passages.length) return h("p", { class: "quiet" }, "Padding only.");
  return h("div", { class: "files" }, passages.map((one, place) => drawPassage(one, !read && place < OPEN, read)));
}

function textOf(one) {
  return one.text ?? (one.is_redacted ? "This document was redacted." : "This stream's tokenizer is not in the catalog, so its tokens cannot be shown as text.");
}

function drawPassage(one, isOpen, read) {
  const code = h("code");
  let isFull = false;
  async function fill() {
    if (isFull || !found.open) return;
    isFull = true;
    if (read) say(code, "Reading the document.");
    try {
      say(code, textOf(read ? await read(one) : one));
    } catch (error) {
      isFull = false; // to unfold it again asks again
      say(code, error.message);
    }
  }
  const about = [one.language, one.license, one.start !== null && `tokens ${count(one.start)} to ${count(one.end)}`].filter(Boolean).join(" · ");
  const score = one.score === null ? null : h("span", { class: "badge", "data-tone": "more" }, `score ${one.score.toPrecision(3)}`);
  const title = one.path ?? (one.document ? one.document : "no sidecar says which document this is");
  const found = h("details", { toggle: fill },
    h("summary", {}, h("span", { class: "path" }, title), " ", score, " ", h("span", { class: "quiet" }, [one.repository, about].filter(Boolean).join(" · "))),
    one.document ? h("p", { class: "quiet" }, `document ${one.document}`) : null,
    h("pre", { class: "file", tabindex: 0 }, code));
  if (isOpen) {
    found.open = true;
    fill();
  }
  return found;
}
