// What a CloudEvent carries.

const POINTS = ['login', 'started', 'generated', 'published', 'received', 'delivered'];

// Its data: JSON parsed, other text as a string, anything else as bytes.
export const dataOf = ({ data, data_base64: base64 }) =>
  base64 === undefined ? data : Uint8Array.from(atob(base64), (byte) => byte.charCodeAt());

export const mediaTypeOf = (event) => event.datacontenttype ?? 'application/json';

// When it passed which point. `values` names them, as an event's attributes do.
export function stampsOf(values) {
  const stamps = {};
  for (const point of POINTS) {
    const at = +values[point + 'at'];
    if (at) stamps[point + 'at'] = at;
  }
  return stamps;
}
