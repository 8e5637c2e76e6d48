/**
 * The nbray panel for JupyterLab: the list of its plugins.
 *
 * @packageDocumentation
 */
import { clusterPanelPlugin } from './plugins/clusterPanel.js';
import { modelPlugin } from './plugins/model.js';
import { statusBarPlugin } from './plugins/statusBar.js';

export * from './tokens.js';

export default [modelPlugin, clusterPanelPlugin, statusBarPlugin];
