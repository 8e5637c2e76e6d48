/**
 * The nbray panel for JupyterLab: the list of its plugins.
 *
 * @packageDocumentation
 */
import { cellsPlugin } from './plugins/cells.js';
import { clusterPanelPlugin } from './plugins/clusterPanel.js';
import { clustersPlugin } from './plugins/clusters.js';
import { exportsPlugin } from './plugins/exports.js';
import { modelPlugin } from './plugins/model.js';
import { openWithPlugin } from './plugins/openWith.js';
import { settingsPlugin } from './plugins/settings.js';
import { statusBarPlugin } from './plugins/statusBar.js';

export * from './tokens.js';

export default [
  modelPlugin,
  settingsPlugin,
  clusterPanelPlugin,
  openWithPlugin,
  clustersPlugin,
  cellsPlugin,
  exportsPlugin,
  statusBarPlugin
];
