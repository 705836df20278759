/** Texts in columns declared as dates: what dqlite's clients write and accept (wire spec section 7.6). */

const DATE = /^(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?)?\s*(?:Z|([+-])(\d\d):(\d\d))?$/;

/** Milliseconds since 1970; without an offset in UTC, as SQLite's own functions have it. NaN if it is no date. */
export function parseDate(text: string): number {
  const match = DATE.exec(text);
  if (match === null) return NaN;
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction, sign, offsetHours, offsetMinutes] =
    match;
  const ms = fraction === undefined ? 0 : Number(fraction.slice(1, 4).padEnd(3, '0'));
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  // A day that the month does not have would roll over.
  if (date.getUTCDate() !== Number(day) || date.getUTCMonth() !== Number(month) - 1) return NaN;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return NaN;
  date.setUTCHours(Number(hour), Number(minute), Number(second), ms);
  if (sign === undefined) return date.getTime();
  const offsetMs = (Number(offsetHours) * 60 + Number(offsetMinutes)) * 60_000;
  return sign === '+' ? date.getTime() - offsetMs : date.getTime() + offsetMs;
}
