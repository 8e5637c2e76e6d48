/**
 * What the kernel says, in the language of the page.
 *
 * The kernel speaks English and knows nothing of languages; its sentences are known here by their text, with `%1` for what
 * is filled in, which is also what a language pack has. One that is not known stays as it is.
 * `tests/unit/test_kernel_words.py` looks whether the kernel says each of them. Pure.
 */
import { t } from '../text.js';

const SENTENCES = [
  // Why something cannot be done.
  'it is over',
  'it is not over yet',
  'calls of an actor are not stopped by force',
  'another process submitted it, and only that can run it again',
  'it has not failed, or too long ago',
  'calls of actors, generators and tasks without results are not run again, and of old failures too little is kept',
  'it runs again already',
  'it has succeeded since',
  'its error has gone to other processes already',
  'a ref inside its arguments is gone',
  'an argument is gone: no ref of it is left',
  'it belongs to the runtime, and goes with its task or actor',
  'no ref of it is in this notebook',
  'others use it still: it goes when they let go of it',
  // What is known of a task.
  'It has no results that one could wait for.',
  'The cluster does not answer (%1).',
  'Arguments are kept until the task is over, and of failed tasks and large results.',
  'They are not kept: %1.',
  'It cannot be shown here; get() raises it.',
  'and %1 more',
  'by value',
  'a value',
  'a value that is gone',
  'this notebook',
  'this notebook, under no name',
  'the node',
  'argument',
  'result',
  // Why there is no answer.
  'Too many questions at once.',
  'There is no cluster.',
  'Only a notebook of this cluster can tell that.',
  'The list of tasks has moved on; choose the task again.',
  'It cannot be run again: %1.',
  'That is no id of an object.'
] as const;

const WITHOUT_VALUE = new Set<string>(SENTENCES.filter(text => !text.includes('%1')));
const WITH_VALUE = SENTENCES.filter(text => text.includes('%1')).map(text => {
  const [before, after] = text.split('%1') as [string, string];
  return { text, before, after };
});

/** A text of the kernel in the language of the page; what stands in it for a value may be such a text, too. */
export function fromKernel(said: string): string {
  if (WITHOUT_VALUE.has(said)) {
    return t(said);
  }
  for (const { text, before, after } of WITH_VALUE) {
    if (
      said.length > before.length + after.length &&
      said.startsWith(before) &&
      said.endsWith(after)
    ) {
      return t(text, fromKernel(said.slice(before.length, said.length - after.length)));
    }
  }
  return said;
}
