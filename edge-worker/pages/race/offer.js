// The offer as a shopper sees it. Every text in it is set as text: it is whatever the origin says.

const card = document.getElementById('offer');
const pounds = new Intl.NumberFormat('en-GB', { style: 'currency', currency: 'GBP' });

function line(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

function item({ description, price_gbp, offer_price_gbp, discount_reason, reason }) {
  const row = document.createElement('li');
  const price = line('span', 'price', `${pounds.format(offer_price_gbp)} `);
  const before = line('del', '', pounds.format(price_gbp));
  before.setAttribute('aria-label', `instead of ${pounds.format(price_gbp)}`);
  price.append(before);
  row.append(
    line('span', 'what', String(description).toLowerCase()),
    price,
    line('span', 'less', discount_reason),
    line('span', 'quiet', reason),
  );
  return row;
}

/** Shows an offer of the `retail` generator; any other is shown as the JSON that it is. */
export function show(offer) {
  card.hidden = false;
  const known = Array.isArray(offer?.items);
  document.getElementById('greeting').textContent = known ? offer.greeting : '';
  document.getElementById('why').textContent = known ? offer.why : '';
  const items = known ? offer.items.map(item) : [line('li', '', JSON.stringify(offer, null, 2))];
  document.getElementById('items').replaceChildren(...items);
  const made = offer?.generator;
  document.getElementById('made').textContent = made
    ? `Made by scoring ${made.products_scored} products in ${made.rounds} rounds, on what was sold until ${made.history_until}.`
    : '';
}
