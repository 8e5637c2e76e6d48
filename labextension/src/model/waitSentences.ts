/**
 * Why a task waits, as the kernel says it, in the language of the page.
 *
 * The kernel sends what a sentence is made of (`nbray/scheduling/sentence.py`): a template, which a language pack has a
 * text for, and its values, which may be such sentences, too. Pure.
 */
import { t } from '../text.js';

/** The templates, for whoever translates them; `tests/unit/test_kernel_words.py` looks whether these are all. */
export const TEMPLATES = [
  '%1 waits for %2: %3',
  '%1 runs on worker pid %2 since %3',
  '%1 is at worker pid %2 since %3 and has not begun: it waits for %4',
  '%1 is at its actor (pid %2), which runs it beside others',
  '%1 is queued at pid %2 behind %3',
  '%1 waits for resources: it needs %2, and there is %3',
  "%1 waits for a worker, and none may be started: %2 are there, most of which wait themselves, and no more than %3 beyond the CPUs may stand in for those. Tasks nested less deeply need fewer; init(_system_config={'extra_workers': %4}) or NBRAY_EXTRA_WORKERS=%4 allows more",
  '%1 that it may have',
  "%1 waits for a worker, and none may be started: the node has all %2; init(_system_config={'max_processes': %3}) or NBRAY_MAX_PROCESSES=%3 allows more, as far as the limit of open files (ulimit -n) does",
  '%1 is made by a task of another process (%2), which has not finished it',
  '%1 and %2 more',
  '%1 and %2',
  'an argument',
  '%1 arguments',
  '%1, where it waits: %2',
  '1 other',
  '%1 others',
  '%1; %2 runs there since %3',
  '%1 and waits: %2',
  '%1 waits for a worker with %2: that is free, and %3',
  '%1, held by %2',
  '%1, %2 of them as actors, which nbray.kill(handle) or dropping the last handle ends',
  '%1 waits for its actor, which is restarting',
  '%1 (%2)',
  '%1: %2',
  'actor %1',
  '%1 (pid %2, made in %3) with %4',
  '%1 (pid %2) with %3',
  '%1, which waits itself',
  '%1 requests are before it',
  'a worker is about to start or to become free',
  '%1 of %2 %3 free',
  '%1 waits for its actor, which is being created',
  '%1 waits for its actor, which is %2',
  '%1, %2',
  '%1.',
  'It is ready: get() returns at once.',
  'It is ready: an error (%1) that get() raises.',
  'it is ready by now',
  '%1 is about to be sent to its actor, which has %2 calls of this process',
  '%1 keeps its place behind %2, whose arguments are not there yet',
  'it',
  'one just made'
] as const;

/** With this one the kernel says what a task waits for that runs: the second value. */
const WAITS_THERE: (typeof TEMPLATES)[number] = '%1, where it waits: %2';

/** Pieces in pieces, at most; the kernel has fewer. */
const MAX_DEPTH = 20;

/** The text of a sentence; nothing where it is none. */
export function waitWords(value: unknown, depth = 0): string {
  if (typeof value === 'string') {
    return value;
  }
  if (!Array.isArray(value) || typeof value[0] !== 'string' || depth > MAX_DEPTH) {
    return '';
  }
  const [template, ...values] = value as [string, ...unknown[]];
  return t(template, ...values.map(one => waitWords(one, depth + 1)));
}

/** What a task that runs waits for there; nothing where it does not wait. */
export function waitsThere(value: unknown): string {
  const whole: unknown = Array.isArray(value) && value[0] === '%1.' ? value[1] : value;
  return Array.isArray(whole) && whole[0] === WAITS_THERE ? waitWords(whole[2]) : '';
}
