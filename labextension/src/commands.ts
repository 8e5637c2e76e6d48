/** The ids of the commands. */

/** All commands of nbray, as `nbray:verb-noun`. */
export const CommandIDs = {
  /** Shows the panel; argument `area`: `right` (default) or `main`. */
  openPanel: 'nbray:open-panel',
  /** Starts a cluster; argument `where`: `server` (default) or `notebook`, by a cell that says so. */
  startCluster: 'nbray:start-cluster',
  /** Stops a cluster of the server; argument `name`: of its session. Asks first. */
  stopCluster: 'nbray:stop-cluster',
  /** Changes how many CPUs a cluster of the server offers; argument `name`: of its session. Asks how many. */
  scaleCluster: 'nbray:scale-cluster',
  /** Joins the notebook in front to a cluster, by a cell that says so; argument `address`. */
  connectCluster: 'nbray:connect-cluster',
  /** Scrolls to the cell that made what is selected in the panel; argument `origin`: of another. */
  showCell: 'nbray:show-cell',
  /** Cancels the task that is selected in the panel. */
  cancelTask: 'nbray:cancel-task',
  /** Writes or removes the line `%%remote` of the active cell. */
  toggleRemote: 'nbray:toggle-remote',
  /** Saves the tasks as a trace for Perfetto or Chrome. */
  exportTrace: 'nbray:export-trace',
  /** Saves the picture of the graph; argument `format`: `svg` (default) or `png`. */
  exportGraph: 'nbray:export-graph',
  /** Saves a report of the run as one HTML file. */
  exportReport: 'nbray:export-report',
  /** Copies what is selected as the code that gets at it. */
  copyAsCode: 'nbray:copy-as-code'
} as const;
