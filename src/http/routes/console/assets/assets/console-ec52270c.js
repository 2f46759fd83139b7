const part = (id) => document.getElementById(id);

/** Calls the service, and throws the sentence of a refusal. */
async function call(path, options) {
  const answer = await fetch(path, options);
  const body = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(body.detail);
  return body;
}

const day = (time) => new Date(time).toISOString().slice(0, 16).replace('T', ' ');

async function showSeries() {
  const rows = [];
  for (const series of await call('/api/v1/series?limit=1000')) {
    const row = document.createElement('tr');
    for (const text of [series.symbol, series.timeframe, day(series.first), day(series.last)]) {
      row.append(Object.assign(document.createElement('td'), { textContent: text }));
    }
    rows.push(row);
  }
  part('series').replaceChildren(...rows);
  part('none').hidden = rows.length > 0;
}

async function show(session) {
  const held = session.credentials.map(({ scope, name }) => `${scope} (${name})`);
  part('held').textContent = held.length ? `Signed in: ${held.join(', ')}, until ${day(session.ends)} UTC.` : 'Not signed in.';
  part('sign-out').hidden = held.length === 0;
  part('development').hidden = !session.development || held.length > 0;
  part('stored').hidden = !session.scopes.includes('read');
  if (session.scopes.includes('read')) await showSeries();
}

async function run(work) {
  part('problem').textContent = '';
  try {
    await work();
  } catch (error) {
    part('problem').textContent = error.message;
  }
}

const signIn = (body) => run(async () => show(await call('/console/session', { method: 'POST', body: JSON.stringify(body) })));

part('sign-in').addEventListener('submit', (event) => {
  event.preventDefault();
  signIn({ credential: part('credential').value });
  part('credential').value = '';
});
part('development').addEventListener('click', () => signIn({ development: true }));
part('sign-out').addEventListener('click', () =>
  run(async () => {
    await call('/console/session', { method: 'DELETE' });
    await show(await call('/console/session'));
  }),
);
run(async () => show(await call('/console/session')));
