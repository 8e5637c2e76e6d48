/** What a notebook says of itself for nbray, in its metadata `nbray`. Pure. */

/** Whether the panel is to be there when it is opened: `{"panel": true}`; the value may be any. */
export function asksForPanel(metadata: unknown): boolean {
  return (
    typeof metadata === 'object' &&
    metadata !== null &&
    (metadata as Record<string, unknown>)['panel'] === true
  );
}
