// Whether nobody looks, or nothing can be reached: the page has been hidden for long, or the browser says
// that it is offline.

// Calls `pause` and `resume`, until the signal fires.
export function whileAway(after, signal, pause, resume) {
  let timer;
  const look = ({ type }) => {
    clearTimeout(timer);
    if (document.hidden && after) timer = setTimeout(() => signal.aborted || pause(), after);
    if (type === 'offline') pause();
    else if (type === 'online' || !document.hidden) resume();
  };
  // All of them reach the window.
  for (const type of ['visibilitychange', 'online', 'offline']) addEventListener(type, look, { signal });
}
