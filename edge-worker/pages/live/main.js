import '../client/headstart.js';
