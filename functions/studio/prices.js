// What a sheet of items costs, before it is sent.

import * as api from "./api.js";
import { named } from "./catalogue.js";
import { h } from "./dom.js";
import { merged } from "./sheet.js";
import { money } from "./words.js";

const MOST_GROUPS = 20;
const REFUSED = [400, 404, 410, 422];

/** What items cost alone, in a provider's batch and by the mode, and which cannot be made: items
 * whose price is decided alike are asked about together. */
export async function priced(items, defaults, mode, known) {
  const groups = new Map();
  for (const { line, fields } of items) {
    const body = question(merged(fields, defaults));
    const name = JSON.stringify(body);
    const group = groups.get(name) ?? { body, line, count: 0 };
    group.count += 1;
    groups.set(name, group);
  }
  const asked = [...groups.values()].sort((a, b) => b.count - a.count).slice(0, MOST_GROUPS);
  const price = { groups: asked, problems: [], now: 0, batch: 0, total: 0, items: 0 };
  await Promise.all(asked.map((group) => estimated(group, mode, known)));
  for (const group of asked) {
    if (group.problem) price.problems.push(group.problem);
    price.now += group.now;
    price.batch = group.batch === null || price.batch === null ? null : price.batch + group.batch;
    price.total += group.total;
    price.items += group.count;
  }
  return price;
}

/** What decides a price, as a body of the estimate. */
function question({ seed, template, images, mask, ...item }) {
  return {
    ...item,
    custom_id: undefined,
    prompt: undefined,
    ...(seed !== undefined && { seed: 0 }),
    ...(template && { template: { name: template.name } }),
    ...(images?.length && { source_count: images.length + (mask ? 1 : 0) }),
    ...(mask && { masked: true }),
  };
}

/** Have a group priced, or say what is wrong with it. */
async function estimated(group, mode, known) {
  Object.assign(group, { now: 0, batch: null, total: 0 });
  let found;
  try {
    found = await api.estimate({ ...group.body, count: group.count });
  } catch (error) {
    if (!REFUSED.includes(error.status)) throw error;
    group.problem = wrong(group, error.message);
    return;
  }
  const { resolution, quality, route } = group.body;
  const model = named(known, group.body.model);
  group.name = [model?.name ?? group.body.model ?? "auto", resolution, quality].filter(Boolean).join(", ");
  const first = inOrder(found.routes, model, route?.prefer)[0];
  const batches = found.routes.filter(({ batch_total_usd: usd }) => usd !== null);
  group.now = Number(first?.total_usd ?? 0);
  group.batch = batches.length ? Math.min(...batches.map(({ batch_total_usd: usd }) => Number(usd))) : null;
  if (!first) {
    const why = found.excluded[0]?.reason ?? "no provider has it";
    group.problem = wrong(group, `Not with these settings: ${why}`);
  } else if (mode === "provider" && group.batch === null) {
    group.problem = wrong(group, `${group.name} is in no provider's batch.`);
  } else {
    group.total = byMode(mode, group);
  }
}

/** The routes as they are tried. */
function inOrder(routes, model, prefer = "order") {
  if (prefer !== "order") return routes;
  const order = model?.routes.map((route) => route.provider) ?? [];
  return routes.toSorted((a, b) => order.indexOf(a.provider) - order.indexOf(b.provider));
}

function byMode(mode, { now, batch }) {
  if (mode === "provider") return batch;
  return mode === "fanout" ? now : Math.min(now, batch ?? Infinity);
}

function wrong({ line, count }, message) {
  const many = count > 1 ? `, in ${count} items` : "";
  return { line, message, right: `Other settings or another model${many}` };
}

/** The prices compared, and by group where there are several. */
export function prices({ groups, now, batch, items }, count) {
  const batches = batch === null ? "not all of them" : money(batch);
  const some = `For ${items} of ${count} items: the others have too many different settings to be priced here.`;
  const each = groups.map((group) => h("li", {}, `${group.count} × ${group.name}: ${money(group.total)}`));
  return [
    h("p", {}, `One call each: ${money(now)}. In providers' batches: ${batches}.`),
    items < count && h("p", { class: "fine" }, some),
    groups.length > 1 && h("details", {}, h("summary", {}, "By settings"), h("ul", {}, each)),
  ].filter(Boolean);
}
