// The arithmetic of the ratio editor: values in, settings out; it knows no page.

export const digits = (value) => Number(value.toFixed(6));

// Shares that sum to 1 with `moved` at `value`: those not `fixed` make room in proportion, the fixed stay put.
export function rebalance(shares, moved, value, fixed = new Set()) {
  const free = [...shares.keys()].filter((name) => name !== moved && !fixed.has(name));
  const held = [...shares].filter(([name]) => name !== moved && fixed.has(name)).reduce((sum, [, one]) => sum + one, 0);
  const given = free.length ? Math.min(digits(Math.max(value, 0)), 1 - held) : 1 - held;
  const before = free.reduce((sum, name) => sum + shares.get(name), 0);
  const found = new Map(shares).set(moved, given);
  let left = 1 - held - given;
  free.forEach((name, place) => {
    const part = before > 0 ? shares.get(name) / before : 1 / free.length;
    const own = place === free.length - 1 ? left : Math.min(digits((1 - held - given) * part), left);
    found.set(name, own);
    left -= own;
  });
  return found;
}

// Pins with one more, or moved: as near to `value` as the others leave room; all keys pinned take the whole.
export function pinned(weights, pins, key, value) {
  const others = [...pins].filter(([one]) => one !== key);
  const room = 1 - others.reduce((sum, [, one]) => sum + one, 0);
  const isLast = [...weights.keys()].every((one) => one === key || pins.has(one));
  return new Map(pins).set(key, isLast ? room : Math.min(digits(Math.max(value, 0)), room));
}

// Shares of a component's keys: pins as they are, what they leave by natural weight.
export function within(weights, pins) {
  const free = [...weights.keys()].filter((key) => !pins.has(key));
  const rest = Math.max(0, 1 - [...pins.values()].reduce((sum, one) => sum + one, 0));
  const total = free.reduce((sum, key) => sum + weights.get(key), 0);
  return new Map([...weights.keys()].map((key) => [key, pins.get(key) ?? (total > 0 ? (rest * weights.get(key)) / total : 0)]));
}

// What a preview's streams say of each component: { name -> Map of key (or pinned stream) -> tokens or shares }.
export function grouped(streams, pins, value) {
  const found = new Map();
  for (const one of streams) {
    const keys = found.get(one.component) ?? new Map();
    const key = pins.get(one.component)?.has(one.stream) ? one.stream : one.key;
    found.set(one.component, keys.set(key, (keys.get(key) ?? 0) + value(one)));
  }
  return found;
}

// The document with settings such as { "raw.pin.python": 0.4 } as { component -> { share, pins } }; null removes a pin.
export function changed(document, settings) {
  const found = new Map(document.component.map((one) => {
    const name = one.name ?? [one.streams].flat()[0].split("/")[0];
    return [name, { share: one.share, pins: new Map(Object.entries(one.pin ?? {})), globs: [one.streams].flat().join(", ") }];
  }));
  for (const [path, value] of Object.entries(settings)) {
    const name = [...found.keys()].filter((one) => path.startsWith(`${one}.`)).sort((a, b) => b.length - a.length)[0]; // names may have dots
    if (name === undefined) continue;
    const [what, ...key] = path.slice(name.length + 1).split(".");
    const component = found.get(name);
    if (what === "share") component.share = value;
    else if (what === "pin" && value === null) component.pins.delete(key.join("."));
    else if (what === "pin") component.pins.set(key.join("."), value);
  }
  return found;
}

// The settings that lead from one of `changed` to another.
export function settingsOf(before, after) {
  const found = {};
  for (const [name, { share, pins }] of after) {
    const old = before.get(name);
    if (Math.abs(share - old.share) > 1e-9) found[`${name}.share`] = share;
    for (const key of new Set([...old.pins.keys(), ...pins.keys()])) {
      if (old.pins.get(key) !== pins.get(key)) found[`${name}.pin.${key}`] = pins.get(key) ?? null;
    }
  }
  return found;
}

// Settings as the command line takes them: ["--set", "raw.pin.python=0.4", "--unset", "raw.pin.go"].
export function assignments(settings) {
  return Object.entries(settings).flatMap(([path, value]) => (value === null ? ["--unset", path] : ["--set", `${path}=${value}`]));
}
