export { series as GET } from '../../../lib/routes';
