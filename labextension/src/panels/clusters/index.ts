/** The clusters of the server, as a widget of the left side. It listens only while it can be seen. */
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { createElement, type ReactElement } from 'react';
import { nbrayIcon } from '../../icons.js';
import { readClusters, type IClusterRow } from '../../model/clusterList.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';
import { ClusterList, type IClusterActions } from './body.js';

/** How long after a lost connection the next is tried. */
const AGAIN_MS = 3_000;

/** Shows the list. */
export class ClustersPanel extends ReactWidget {
  constructor(options: { model: IClusterModel; open: () => WebSocket; actions: IClusterActions }) {
    super();
    this._options = options;
    this.id = 'nbray-clusters';
    this.addClass('nbray-clusters');
    this.title.icon = nbrayIcon;
    this.title.caption = t('nbray: clusters of this server');
    options.model.changed.connect(this._onChanged, this);
  }

  override dispose(): void {
    this._options.model.changed.disconnect(this._onChanged, this);
    this._listen(false);
    super.dispose();
  }

  protected override render(): ReactElement {
    return createElement(ClusterList, {
      model: this._options.model,
      rows: this._rows,
      error: this._error,
      actions: this._options.actions
    });
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this._listen(true);
    this.update();
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    if (this.isVisible) {
      this._listen(true);
    }
  }

  protected override onBeforeHide(msg: Message): void {
    this._listen(false);
    super.onBeforeHide(msg);
  }

  protected override onBeforeDetach(msg: Message): void {
    this._listen(false);
    super.onBeforeDetach(msg);
  }

  private _listen(on: boolean): void {
    clearTimeout(this._again);
    if (!on) {
      const old = this._socket;
      this._socket = null;
      old?.close();
      return;
    }
    if (this._socket !== null) {
      return;
    }
    const socket = (this._socket = this._options.open());
    socket.onmessage = event => {
      try {
        this._rows = readClusters(JSON.parse(String(event.data)));
        this._error = '';
      } catch {
        return; // not a list
      }
      this.update();
    };
    socket.onclose = () => {
      if (socket === this._socket) {
        this._socket = null;
        this._error = t('The server does not tell; asking it again.');
        this.update();
        this._again = setTimeout(() => this._listen(true), AGAIN_MS);
      }
    };
  }

  private _onChanged(): void {
    if (this.isVisible) {
      this.update();
    }
  }

  private readonly _options: {
    model: IClusterModel;
    open: () => WebSocket;
    actions: IClusterActions;
  };
  private _socket: WebSocket | null = null;
  private _again: ReturnType<typeof setTimeout> | undefined;
  /** null: not heard of yet. */
  private _rows: readonly IClusterRow[] | null = null;
  private _error = '';
}
