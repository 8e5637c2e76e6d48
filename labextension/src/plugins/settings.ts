/** Provides the settings, and brings texts and colours into force. */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator } from '@jupyterlab/translation';
import { Token } from '@lumino/coreutils';
import { Signal, type ISignal } from '@lumino/signaling';
import { STATES } from '../graph/states.js';
import { useTexts } from '../text.js';
import { IClusterModel } from '../tokens.js';
import { areaIn, type Area } from './panelPlace.js';

/** The plugin whose schema (`schema/panel.json`) has all settings. */
const SCHEMA = 'nbray-labextension:panel';

/** The settings, each with the default of the schema until the registry has answered. */
export interface INbraySettings {
  readonly area: Area;
  readonly openWithCluster: boolean;
  readonly cellBadges: boolean;
  readonly reportTasks: number;
  readonly changed: ISignal<unknown, void>;
  /** Emitted when a person wants the panel elsewhere. */
  readonly areaChanged: ISignal<unknown, Area>;
}

export const INbraySettings = new Token<INbraySettings>(
  'nbray-labextension:INbraySettings',
  'What a person has set for nbray.'
);

export const settingsPlugin: JupyterFrontEndPlugin<INbraySettings> = {
  id: 'nbray-labextension:settings',
  description: 'The settings of nbray, its colours and the language of its texts.',
  autoStart: true,
  provides: INbraySettings,
  requires: [IClusterModel],
  optional: [ISettingRegistry, ITranslator],
  activate: (
    _: JupyterFrontEnd,
    model: IClusterModel,
    registry: ISettingRegistry | null,
    translator: ITranslator | null
  ): INbraySettings => {
    if (translator !== null) {
      useTexts(translator.load('nbray'));
    }
    const [changed, areaChanged] = [new Signal<unknown, void>({}), new Signal<unknown, Area>({})];
    const values = {
      area: 'right' as Area,
      openWithCluster: false,
      cellBadges: true,
      reportTasks: 2000,
      changed,
      areaChanged
    };
    const take = (settings: ISettingRegistry.ISettings): void => {
      const all = settings.composite as Record<string, unknown>;
      values.area = areaIn(all['area']) ?? 'right';
      values.openWithCluster = all['openWithCluster'] === true;
      values.cellBadges = all['cellBadges'] !== false;
      values.reportTasks = Number(all['reportTasks'] ?? 2000);
      model.updatesPerSecond = Number(all['updatesPerSecond'] ?? 10);
      colour(all['colors']);
      changed.emit();
    };
    void registry
      ?.load(SCHEMA)
      .then(settings => {
        take(settings);
        settings.changed.connect(() => {
          const before = values.area;
          take(settings);
          if (values.area !== before) {
            areaChanged.emit(values.area);
          }
        });
      })
      .catch((reason: unknown) => console.warn('nbray: no settings', reason));
    return values;
  }
};

/** Put a person's own colours in place of the panel's. */
function colour(wanted: unknown): void {
  const colors = (typeof wanted === 'object' && wanted) || {};
  for (const { state, color } of STATES) {
    const value: unknown = (colors as Record<string, unknown>)[state];
    if (typeof value === 'string' && CSS.supports('color', value)) {
      document.body.style.setProperty(color, value);
    } else {
      document.body.style.removeProperty(color);
    }
  }
}
