/** Numbers as a person reads them: three digits at most, always with a unit. Pure. */

import { t } from '../text.js';

const GROUPED = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** A count with separators: `8204` becomes `8,204`. */
export function formatCount(count: number): string {
  return GROUPED.format(count);
}

/** An amount of CPUs or GPUs, which may be a fraction: `2`, `1.5`, `0.25`. */
export function formatAmount(amount: number): string {
  if (Number.isInteger(amount)) {
    return formatCount(amount);
  }
  if (amount >= 100) {
    return formatCount(amount);
  }
  return String(Number(amount.toPrecision(amount < 1 ? 2 : 3)));
}

const UNITS: readonly [number, string][] = [
  [1e12, 'TB'],
  [1e9, 'GB'],
  [1e6, 'MB'],
  [1e3, 'KB'],
  [1, 'B']
];

function unitOf(bytes: number): [number, string] {
  // 999.6 MB would be written as 1000 MB: take the next unit from there on.
  return UNITS.find(([size]) => bytes >= 0.9995 * size) ?? [1, 'B'];
}

function digits(value: number): string {
  return value < 9.95 && value !== 0 ? value.toFixed(1) : value.toFixed(0);
}

/** A size: `0 B`, `48 MB`, `4.0 GB`. */
export function formatBytes(bytes: number): string {
  const [size, unit] = unitOf(bytes);
  return `${size === 1 ? String(Math.round(bytes)) : digits(bytes / size)} ${unit}`;
}

/** A part of a size in its unit where it can be read so: `1.2 of 4.0 GB`, `5.0 MB of 4.0 GB`. */
export function formatBytesOf(used: number, total: number): string {
  const [size] = unitOf(total);
  const sameUnit = used === 0 || used >= 0.05 * size;
  return sameUnit && size > 1
    ? t('%1 of %2', digits(used / size), formatBytes(total))
    : t('%1 of %2', formatBytes(used), formatBytes(total));
}

/** What is counted in a cluster, as one word and as several. */
export type Noun = 'worker' | 'actor' | 'node';

/** The word for so many: `worker`, `workers`. */
export function nounFor(count: number, noun: Noun): string {
  const words: Record<Noun, () => [string, string]> = {
    worker: () => [t('worker'), t('workers')],
    actor: () => [t('actor'), t('actors')],
    node: () => [t('node'), t('nodes')]
  };
  return words[noun]()[count === 1 ? 0 : 1];
}

/** A number with its noun: `1 worker`, `3 workers`. */
export function formatNoun(count: number, noun: Noun): string {
  return `${formatCount(count)} ${nounFor(count, noun)}`;
}
