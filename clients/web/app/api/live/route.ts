export { live as GET } from '../../../lib/routes';

export const dynamic = 'force-dynamic';
