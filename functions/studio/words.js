// Amounts, moments and names as people read them.

/** Dollars: "$0.04", "$0.0336", "$1,234.50". */
export function money(usd) {
  const value = Number(usd);
  const digits = value !== 0 && Math.abs(value) < 1 ? 4 : 2;
  return value.toLocaleString("en-US", {
    style: "currency",
    currency: "USD",
    minimumFractionDigits: 2,
    maximumFractionDigits: digits,
  });
}

/** "under 1 s", "8 s", "2 min 5 s". */
export function seconds(amount) {
  if (amount < 1) return "under 1 s";
  const whole = Math.round(amount);
  return whole < 100 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** A moment as the reader's clock says it. */
export const when = (text) =>
  new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

/** "32.0 MB". */
export const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MB`;

/** "1,234". */
export const many = (count) => count.toLocaleString("en-US");

/** "1 picture", "3 pictures". */
export const counted = (count, one) => `${many(count)} ${one}${count === 1 ? "" : "s"}`;

/** A name of the API: "aspect_ratio" is "Aspect ratio". */
export const worded = (name) => name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");
