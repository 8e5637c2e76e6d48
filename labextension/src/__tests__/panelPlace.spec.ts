/** Where the panel goes, in JupyterLab and in Notebook 7. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { areaIn, placeFor } from '../plugins/panelPlace.js';

test('every area is a place of the shell, with tabs beside the document and without', () => {
  assert.deepEqual(placeFor('right', true), { area: 'right' });
  assert.deepEqual(placeFor('main', true), { area: 'main', mode: 'split-right' });
  assert.deepEqual(placeFor('below', true), { area: 'main', mode: 'split-bottom' });
  assert.deepEqual(placeFor('right', false), { area: 'right' });
  assert.deepEqual(placeFor('main', false), { area: 'right' });
  assert.deepEqual(placeFor('below', false), { area: 'down' });
});

test('a setting of another form is none', () => {
  assert.equal(areaIn('below'), 'below');
  assert.equal(areaIn('left'), null);
  assert.equal(areaIn(undefined), null);
});
