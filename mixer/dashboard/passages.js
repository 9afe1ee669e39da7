// Documents as a list to unfold: where each comes from, its score, its text.

import { count, h, put } from "./dom.js";

const OPEN = 2; // of a list, that are unfolded

export function passageList(passages) {
  if (!passages.length) return h("p", { class: "quiet" }, "Padding only.");
  return h("div", { class: "files" }, passages.map((one, place) => drawPassage(one, place < OPEN)));
}

function drawPassage(one, isOpen) {
  const code = h("code");
  const fill = () => { if (!code.childNodes.length) put(code, one.text ?? (one.is_redacted ? "This document was redacted." : "This stream's tokenizer is not in the catalog, so its tokens cannot be shown as text.")); };
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
