// What a CloudEvent carries.

// When something passed which point, from pairs of names and values.
export const stampsOf = (pairs) =>
  Object.fromEntries(pairs.flatMap(([name, value]) => (/.at$/.test(name) && value > 0 ? [[name, +value]] : [])));

// The data: JSON parsed, other text as a string, anything else as an ArrayBuffer. With it, what is said of it.
export const opened = (event) => ({
  data: event.data_base64 ? Uint8Array.from(atob(event.data_base64), (byte) => byte.charCodeAt(0)).buffer : event.data,
  mediaType: event.datacontenttype ?? 'application/json',
  stamps: stampsOf(Object.entries(event)),
  id: event.id,
});
