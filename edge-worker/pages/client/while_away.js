// Whether nobody looks, or nothing can be reached: the page has been hidden for long, or the browser says
// that it is offline.

// Calls `set(away)`, at every sign that things may have changed. Gives a function that ends it.
export function whileAway(after, set) {
  const page = globalThis.document;
  let hidden = false;
  let offline = false;
  let timer;
  const look = () => {
    clearTimeout(timer);
    // `setTimeout` takes no longer time.
    if (page?.hidden && after < 2 ** 31) {
      timer = setTimeout(() => set((hidden = true)), after);
    } else {
      hidden = false;
      set(offline);
    }
  };
  // Only what it says when it changes: a machine without a network reaches itself.
  const network = ({ type }) => {
    offline = type === 'offline';
    set(offline || hidden);
  };
  const listen = (how) => {
    page?.[how]('visibilitychange', look);
    for (const type of ['online', 'offline']) globalThis[how](type, network);
  };
  listen('addEventListener');
  look();
  return () => {
    clearTimeout(timer);
    listen('removeEventListener');
  };
}
