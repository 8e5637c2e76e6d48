/** The overview as a widget of the page. */
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { createElement, type ReactElement } from 'react';
import { nbrayIcon } from '../../icons.js';
import { t } from '../../text.js';
import { Overview } from './body.js';
import type { IClusterModel } from '../../tokens.js';

/** How often the lines move on while the cluster is quiet. */
const TICK_MS = 1_000;

/** Shows the model; draws only while it can be seen. */
export class OverviewPanel extends ReactWidget {
  /** `menu`: what can be saved and copied, opened at a place of the page. */
  constructor(model: IClusterModel, menu: (x: number, y: number) => void) {
    super();
    this._menu = menu;
    this._model = model;
    this.id = 'nbray-panel';
    this.addClass('nbray-panel');
    this.title.icon = nbrayIcon;
    this.title.caption = t('nbray: what the cluster is doing');
    this.title.closable = true;
    model.changed.connect(this._onChanged, this);
    model.tasksChanged.connect(this._onChanged, this);
  }

  override dispose(): void {
    this._model.changed.disconnect(this._onChanged, this);
    this._model.tasksChanged.disconnect(this._onChanged, this);
    clearInterval(this._ticker);
    super.dispose();
  }

  protected override render(): ReactElement {
    return createElement(Overview, { model: this._model, onExport: this._menu });
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this.update();
    this._tick();
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    this._tick();
  }

  protected override onBeforeDetach(msg: Message): void {
    clearInterval(this._ticker);
    super.onBeforeDetach(msg);
  }

  protected override onBeforeHide(msg: Message): void {
    clearInterval(this._ticker);
    super.onBeforeHide(msg);
  }

  private _tick(): void {
    clearInterval(this._ticker);
    this._ticker = setInterval(() => {
      if (this.isVisible && !document.hidden && this._model.history.length > 1) {
        this.update();
      }
    }, TICK_MS);
  }

  private _onChanged(): void {
    if (this.isVisible) {
      this.update();
    }
  }

  private readonly _model: IClusterModel;
  private readonly _menu: (x: number, y: number) => void;
  private _ticker: ReturnType<typeof setInterval> | undefined;
}
