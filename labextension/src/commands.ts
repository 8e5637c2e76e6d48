/** The ids of the commands. */

/** All commands of nbray, as `nbray:verb-noun`. */
export const CommandIDs = {
  /** Shows the panel; argument `area`: `right` (default) or `main`. */
  openPanel: 'nbray:open-panel'
} as const;
