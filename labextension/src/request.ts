/** What is asked of the server's side (`nbray_ext/`): the way there, and nothing of what it means. */
import { ServerConnection } from '@jupyterlab/services';
import { t } from './text.js';

/** A row of the list of clusters, as `nbray_ext/response_models.py` describes it; nothing in it is trusted yet. */
export type Answer = unknown;

/** Ask the server. Rejects with the sentence that it refused with. */
export async function ask(
  settings: ServerConnection.ISettings,
  path: string,
  init: RequestInit = {}
): Promise<Answer> {
  const url = `${settings.baseUrl}nbray/${path}`;
  const response = await ServerConnection.makeRequest(url, init, settings);
  const text = await response.text();
  const answer: Answer = text === '' ? null : readJson(text);
  if (!response.ok) {
    const said = (answer as { message?: unknown } | null)?.message;
    throw new Error(
      typeof said === 'string' ? said : t('The server answered %1.', response.status)
    );
  }
  return answer;
}

/** Open one of the server's websockets. */
export function openSocket(settings: ServerConnection.ISettings, path: string): WebSocket {
  const query = new URLSearchParams();
  if (settings.appendToken && settings.token !== '') {
    query.set('token', settings.token);
  }
  // A browser sends no headers of ours with a websocket.
  const xsrf = /(?:^|;\s*)_xsrf=([^;]*)/.exec(document.cookie)?.[1];
  if (xsrf !== undefined) {
    query.set('_xsrf', xsrf);
  }
  return new settings.WebSocket(`${settings.wsUrl}nbray/${path}?${query.toString()}`);
}

function readJson(text: string): Answer {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
