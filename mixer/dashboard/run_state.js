// What state a run is in, as a word and a tone.

export const isDone = (run) => Boolean(run.ended || (run.num_steps && run.end_step >= run.num_steps));

export function stateOf(run) {
  if (run.ended) return { text: `ended: ${run.ended}`, tone: "same" };
  if (run.paused) return { text: `paused: ${run.paused}`, tone: "bad" };
  if (isDone(run)) return { text: "complete", tone: "same" };
  return { text: "open", tone: "more" };
}
