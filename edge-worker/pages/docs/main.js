// The reference of the edge's routes: openapi.yaml, as Swagger UI shows it. What is tried out there goes to
// the edge that the page came from.

import SwaggerUI from 'swagger-ui-dist/swagger-ui-es-bundle.js';

const dark = matchMedia('(prefers-color-scheme: dark)');
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', follow);
follow();

SwaggerUI({
  domNode: document.getElementById('reference'),
  url: '/openapi.yaml',
  // Nothing but this edge is asked.
  validatorUrl: null,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  // Its colours on its ground are too pale.
  syntaxHighlight: false,
  // There is one server, this edge: nothing to choose.
  plugins: [{ wrapComponents: { ServersContainer: () => () => null } }],
});
