// What a switch would bring: shares by key now and then, and which caps forbid it for what is left of the run.

import { post } from "../api.js";
import { byKey } from "../curves.js";
import { h, say, share, short } from "../dom.js";
import { change, table } from "../table.js";

const SAID = 3; // refusals, and streams that run dry

// `run()`: the run as it is now. `update(mixture)` shows what that version would bring.
export function switchPreview(run) {
  let before = new Map();
  let asked = null;
  const rows = table("What the switch changes", [
    { name: "key", title: "Key", value: (k) => k.key },
    { name: "now", title: "Now", number: true, value: (k) => before.get(k.key) ?? 0, cell: (k) => share(before.get(k.key) ?? 0) },
    { name: "then", title: "Then", number: true, value: (k) => k.share, cell: (k) => share(k.share) },
    { name: "change", title: "Change, points", number: true, value: (k) => k.share - (before.get(k.key) ?? 0), cell: (k) => change(k.share - (before.get(k.key) ?? 0)) },
    { name: "passes", title: "Passes at its end", number: true, value: (k) => k.passes, cell: (k) => (k.tokens ? k.passes.toFixed(2) : "") },
  ], { key: (k) => k.key, sort: "-then", quiet: true });
  const said = h("p", { class: "quiet" });
  const refusals = h("ul", { class: "error" });
  const element = h("div", { "aria-live": "polite" }, said, refusals, rows.element);

  async function update(mixture) {
    const now = run();
    const left = now.num_steps ? Math.max(0, now.num_steps - now.end_step) * now.global_batch * now.seq_len : 0;
    asked = mixture;
    rows.element.hidden = true;
    refusals.replaceChildren();
    if (mixture === now.mixture) return say(said, `${now.mixture} holds now; choose another version to see what would change.`);
    try {
      const found = await post("mixtures/preview", { mixture, run: now.name, tokens: left });
      if (asked !== mixture) return undefined;
      before = byKey(now.shares);
      const gone = [...before.keys()].filter((key) => !found.keys.some((one) => one.key === key)).map((key) => ({ key, share: 0, tokens: 0, passes: 0 }));
      rows.update([...found.keys, ...gone]);
      rows.element.hidden = false;
      const ending = found.ends ? [`After ${short(found.ends_at_tokens)} tokens: ${found.ends}.`] : [];
      refusals.replaceChildren(...[...found.refusals.slice(0, SAID).map((one) => one.said), ...found.dries.slice(0, SAID).map((one) => `${one}.`), ...ending].map((one) => h("li", {}, one)));
      return say(said, left ? `For the ${short(left)} tokens that are left, from where the run's streams are.` : "From where the run's streams are; the run has no last step.");
    } catch (error) {
      return say(said, error.message);
    }
  }

  return { element, update };
}
