// Showing where this page is, if its user wants that.

import { byId, say } from './dom.js';
import { coordinates } from './format.js';

const LONGEST_MS = 20_000;

/** To a tenth of a degree: everyone who follows the topic sees it. */
function rounded({ latitude, longitude }) {
  const tenth = (degrees) => Math.round(degrees * 10) / 10;
  return { latitude: tenth(latitude), longitude: tenth(longitude) };
}

/** @param {(place: {latitude: number, longitude: number} | undefined) => void} onPlace */
export function sharing(onPlace) {
  const [button, told] = [byId('share'), byId('share-told')];
  let shared = false;
  const show = (text) => {
    say(button, shared ? 'Stop sharing my place' : 'Share my place');
    say(told, text);
  };
  button.addEventListener('click', () => {
    if (shared) {
      shared = false;
      show('Your place is no longer shared.');
      onPlace(undefined);
      return;
    }
    if (navigator.geolocation === undefined) {
      show('This browser does not say where it is.');
      return;
    }
    show('Asking the browser …');
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => {
        const place = rounded(coords);
        shared = true;
        show(`Everyone here sees you at ${coordinates(place.latitude, place.longitude)}, to a tenth of a degree.`);
        onPlace(place);
      },
      (error) => show(`The browser does not say where it is: ${error.message || 'it was not allowed to'}.`),
      { timeout: LONGEST_MS, maximumAge: 600_000 },
    );
  });
}
