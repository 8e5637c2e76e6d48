/** The states can be told apart by people who see no red, no green or no blue, in both themes: by colour and by shape. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { STATES } from '../graph/states.js';

type Triple = [number, number, number];

/** Linear RGB as such eyes see it, after Machado, Oliveira and Fernandes (2009), severity 1. */
const EYES: Record<string, Triple[]> = {
  'all colours': [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1]
  ],
  'no red': [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998]
  ],
  'no green': [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881]
  ],
  'no blue': [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039]
  ]
};

/** Of CIE 1976: 2.3 can just be seen; colours that stand side by side in a bar need a few times as much. */
const APART = 10;

/** The colours of a theme, by variable. */
function coloursOf(theme: 'light' | 'dark'): Map<string, string> {
  const css = readFileSync(new URL('../../style/tokens.css', import.meta.url), 'utf8');
  const [light, dark] = css.split("[data-jp-theme-light='false']");
  const part = theme === 'light' ? light! : dark!;
  return new Map([...part.matchAll(/(--nbray-[\w-]+): (#[0-9a-f]{6})/g)].map(m => [m[1]!, m[2]!]));
}

function times(matrix: readonly Triple[], [x, y, z]: Triple): Triple {
  return matrix.map(([a, b, c]) => a * x + b * y + c * z) as Triple;
}

function linear(hex: string): Triple {
  return [1, 3, 5].map(at => {
    const value = parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as Triple;
}

/** CIE L*a*b*, white as in sRGB. */
function lab(rgb: Triple): Triple {
  const clipped = rgb.map(value => Math.min(1, Math.max(0, value))) as Triple;
  const xyz = times(
    [
      [0.4124 / 0.9505, 0.3576 / 0.9505, 0.1805 / 0.9505],
      [0.2126, 0.7152, 0.0722],
      [0.0193 / 1.089, 0.1192 / 1.089, 0.9505 / 1.089]
    ],
    clipped
  );
  const [x, y, z] = xyz.map(v => (v > 0.008856 ? Math.cbrt(v) : 7.787 * v + 16 / 116)) as Triple;
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

describe('the colours of the states', () => {
  for (const theme of ['light', 'dark'] as const) {
    for (const [eyes, matrix] of Object.entries(EYES)) {
      it(`are apart in the ${theme} theme for eyes that see ${eyes}`, () => {
        const colours = coloursOf(theme);
        const seen = STATES.map(({ state, color }) => ({
          state,
          at: lab(times(matrix, linear(colours.get(color)!)))
        }));
        for (const [n, one] of seen.entries()) {
          for (const other of seen.slice(n + 1)) {
            const distance = Math.hypot(...one.at.map((value, i) => value - other.at[i]!));
            assert.ok(distance >= APART, `${one.state}, ${other.state}: ${distance}`);
          }
        }
      });
    }
  }

  it('are never all there is: each state has a shape of its own', () => {
    assert.equal(new Set(STATES.map(({ shape }) => shape)).size, STATES.length);
  });
});
