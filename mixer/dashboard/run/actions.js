// What can be done with a run, each with the command that does the same.

import { post, runPath } from "../api.js";
import { command } from "../command.js";
import { h } from "../dom.js";
import { field, form, versionField } from "../form.js";
import { switchPreview } from "./switch_preview.js";

// `run()`: the run as it is now; `changed()`: asks for it anew. { element, propose(what, values) }: opens a form with values in it.
export async function actionsOf(name, address, run, changed) {
  const path = runPath(name);
  const why = () => field("Why", { name: "why", hint: "optional; stands in the history" });
  const whole = (label, key, more) => field(label, { kind: "number", name: key, min: 0, step: 1, inputmode: "numeric", ...more });
  const act = (verb, said) => async (values) => {
    const answer = await post(`${path}/${verb}`, values);
    await changed();
    return said(answer, values);
  };
  const forms = new Map();
  const folded = (title, ...made) => h("details", {}, h("summary", {}, title), made);
  const runs = (verb) => ({ why: said, ...values }, ...words) => command("runs", verb, name, ...words, { ...Object.fromEntries(Object.entries(values).map(([key, value]) => [key.replaceAll("_", "-"), value])), why: said });

  const preview = switchPreview(run);
  const version = await versionField("Mixture", address.query.get("switch") ?? run().mixture);
  version.input.addEventListener("change", () => preview.update(version.input.value));
  const switching = form("Switch", [version, whole("At step", "at_step", { hint: "default: the next boundary" }), why()],
    act("switch", (answer, values) => { preview.update(values.mixture); return `${values.mixture} holds from step ${answer.from_step} of ${name}`; }),
    { title: "Switch the mixture", id: "switch", command: ({ mixture, ...values }) => runs("switch")(values, mixture) });
  switching.querySelector(".fields").after(preview.element);

  const forking = form("Fork", [field("Name", { name: "name", required: true }), whole("At step", "at_step"), whole("Seed", "seed", { placeholder: String(run().seed) }),
    whole("Global batch", "global_batch", { placeholder: String(run().global_batch) }), whole("Skip batches", "skip", { placeholder: "0" }),
    whole("Steps in all", "num_steps", { min: 1, placeholder: run().num_steps ? String(run().num_steps) : "no limit" }), why()], async (values) => {
    const made = await post(`${path}/fork`, values);
    location.hash = `#/${runPath(made.name)}`;
    return `run ${made.name} forks from ${name} at step ${values.at_step}`;
  }, { command: ({ name: fork, ...values }) => (fork && values.at_step !== undefined ? runs("fork")(values, fork) : null) });
  const skipping = form("Skip", [whole("First batch", "start_step"), whole("Batches", "batches", { min: 1 }), why()],
    act("skip", (_, values) => `batches ${values.start_step} to ${values.start_step + values.batches - 1} are left out`),
    { command: ({ start_step: first, batches, ...values }) => (first === undefined || !batches ? null : runs("skip")(values, String(first), String(batches))) });
  const pausing = form("Pause", [why()], act("pause", (found) => `${name} is paused from step ${found.end_step}`), { command: runs("pause") });
  const resuming = form("Resume", [why()], act("resume", (found) => `${name} goes on from step ${found.end_step}`), { command: runs("resume") });
  const typed = field(`Type ${name} to end it`, { name: "typed", required: true });
  const ending = form("End for good", [typed, why()], async ({ typed: given, ...values }) => {
    if (given !== name) throw Object.assign(new Error(`typed: ${given} is not ${name}; type ${name} to end this run, which cannot be undone`), { kind: "Confirmation" });
    const ended = await post(`${path}/end`, values);
    await changed();
    return `${name} has ended at step ${ended.end_step}`;
  }, { tone: "danger", command: ({ why: said }) => runs("end")({ why: said }) });
  const note = field("Note", { name: "text", required: true, maxlength: 1000 });
  const noting = form("Write down", [note], act("notes", () => { note.input.value = ""; return `the note is in the history of ${name}`; }),
    { command: ({ text }) => (text ? command("runs", "note", name, text) : null) });

  const hiding = (label, undo, said) => form(label, [why()], async (values) => {
    await post(`${path}/archive`, { ...values, undo });
    location.hash = "#/runs";
    return said;
  }, { tone: null, command: ({ why: given }) => `${command("runs", "archive", name, { why: given })}${undo ? " --undo" : ""}` });
  const archived = folded("Archive the run", h("p", { class: "quiet" }, "Hides it from lists; nothing of it is removed."), hiding("Archive", false, `${name} is archived`), hiding("Show again", true, `${name} is in the lists again`));

  const noted = folded("Write a note", noting);
  const forked = folded("Fork at a step", forking);
  const skipped = folded("Skip batches", skipping);
  forms.set("fork", { place: forked, made: forking });
  if (run().ended) return { element: h("div", { class: "actions" }, h("div", { class: "card" }, noted, forked, archived)), propose };
  forms.set("skip", { place: skipped, made: skipping });
  preview.update(version.input.value);
  return {
    element: h("div", { class: "actions" }, h("div", { class: "card" }, switching),
      h("div", { class: "card" }, noted, folded("Pause or resume", pausing, resuming), forked, skipped, folded("End the run", ending), archived)),
    propose,
  };

  function propose(what, values) {
    const { place, made } = forms.get(what);
    place.open = true;
    for (const [key, value] of Object.entries(values)) made.elements[key].value = value;
    made.dispatchEvent(new Event("input"));
    made.querySelector("input").focus({ preventScroll: true });
    made.scrollIntoView({ block: "center" });
  }
}
