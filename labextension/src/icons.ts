/** The icon of nbray: three tasks, one fed by two. */
import { LabIcon } from '@jupyterlab/ui-components';

const SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path fill="none" class="jp-icon3" stroke="#616161" stroke-width="0"/>
    <path d="M6.2 5.2 17.6 10.9 16.9 12.3 5.5 6.6Z"/>
    <path d="M5.5 17.4 16.9 11.7 17.6 13.1 6.2 18.8Z"/>
    <circle cx="5" cy="6" r="3.4"/>
    <circle cx="5" cy="18" r="3.4"/>
    <path d="M14 6.4 22.6 12 14 17.6Z"/>
  </g>
</svg>`;

/** Beside the panel's tab, in the launcher and in the status bar. */
export const nbrayIcon = new LabIcon({ name: 'nbray:icon', svgstr: SVG });
