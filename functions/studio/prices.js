// What a sheet of items costs, before it is sent.

import * as api from "./api.js";
import { h, money } from "./dom.js";
import { merged } from "./sheet.js";

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

async function estimated(group, mode, known) {
  Object.assign(group, { now: 0, batch: null, total: 0 });
  const wrong = (message) =>
    (group.problem = {
      line: group.line,
      message,
      right: `Other settings or another model${group.count > 1 ? `, in ${group.count} items` : ""}`,
    });
  let found;
  try {
    found = await api.estimate({ ...group.body, count: group.count });
  } catch (error) {
    if (!REFUSED.includes(error.status)) throw error;
    wrong(error.message);
    return;
  }
  const model = known.find(
    ({ id, aliases }) => id === group.body.model || aliases.includes(group.body.model),
  );
  const order = model?.routes.map((route) => route.provider) ?? [];
  const listed =
    (group.body.route?.prefer ?? "order") === "order"
      ? found.routes.toSorted((a, b) => order.indexOf(a.provider) - order.indexOf(b.provider))
      : found.routes;
  const together = found.routes
    .map((route) => route.batch_total_usd)
    .filter(Boolean)
    .map(Number);
  group.name = [model?.name ?? group.body.model, group.body.resolution, group.body.quality]
    .filter(Boolean)
    .join(", ");
  group.now = Number(listed[0]?.total_usd ?? 0);
  group.batch = together.length ? Math.min(...together) : null;
  if (!listed.length) wrong(`Not with these settings: ${found.excluded[0]?.reason ?? "no provider has it"}`);
  else if (mode === "provider" && group.batch === null) wrong(`${group.name} is in no provider's batch.`);
  else
    group.total =
      mode === "provider"
        ? group.batch
        : mode === "fanout"
          ? group.now
          : Math.min(group.now, group.batch ?? Infinity);
}

/** The prices compared, and by group where there are several. */
export function prices({ groups, now, batch, items }, count) {
  const said = [
    h(
      "p",
      {},
      `One call each: ${money(now)}. In providers' batches: ${batch === null ? "not all of them" : money(batch)}.`,
    ),
  ];
  if (items < count)
    said.push(
      h(
        "p",
        { class: "fine" },
        `For ${items} of ${count} items: the others have too many different settings to be priced here.`,
      ),
    );
  if (groups.length > 1) {
    said.push(
      h(
        "details",
        {},
        h("summary", {}, "By settings"),
        h(
          "ul",
          {},
          groups.map((group) => h("li", {}, `${group.count} × ${group.name}: ${money(group.total)}`)),
        ),
      ),
    );
  }
  return said;
}
