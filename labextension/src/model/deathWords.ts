/**
 * Why an actor died, as its node says it, in the language of the page.
 *
 * The node writes one English text. It is known here by its pieces; what stands in one for a value may be another, and
 * what is not known (the log of the worker, a message of an exception) stays as it is.
 * `tests/unit/test_kernel_words.py` looks whether the node writes each of them. Pure.
 */
import { t } from '../text.js';

/** In the order in which they are tried: what encloses others comes before them. */
export const DEATH_TEMPLATES = [
  '%1\nLast lines of its log:\n%2',
  'The constructor of %1 raised an exception on worker pid=%2: %3',
  '%1. It had been restarted once.',
  '%1. It had been restarted %2 times.',
  'Actor %1 was killed by ray.kill().',
  'Actor %1 ended with the driver of its job.',
  'Actor %1 ended because its placement group was removed.',
  'Actor %1 ended because all handles to it are gone (those of get_actor do not count).',
  'The placement group of actor %1 was removed.',
  'Actor %1: %2',
  '%1 (by the kernel for lack of memory, or by hand)',
  'worker pid=%1 was killed by %2: %3',
  'worker pid=%1 exited with code %2: %3',
  'worker pid=%1 is gone: %2',
  'worker pid=%1 was killed by %2',
  'worker pid=%1 exited with code %2',
  'worker pid=%1 is gone',
  "the actor's constructor failed",
  'no handle of the actor is left',
  'killed by ray.kill()',
  'it ended itself (exit_actor or sys.exit).'
] as const;

const PATTERNS = DEATH_TEMPLATES.map(template => {
  const escaped = template.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return { template, pattern: new RegExp(`^${escaped.replace(/%\d/g, '([^]+?)')}$`) };
});

/** A text about a death in the language of the page. */
export function deathWords(said: string): string {
  for (const { template, pattern } of PATTERNS) {
    const found = pattern.exec(said);
    if (found !== null) {
      return t(template, ...found.slice(1).map(deathWords));
    }
  }
  return said;
}
