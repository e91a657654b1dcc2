"""From 19.0.1.2.0: read once from the log who still calls over XML-RPC and JSON-RPC."""


def migrate(cr, version):
    cr.execute(
        """
        INSERT INTO auth_integration_rpc_use (user_id, channel, user_agent, last_seen)
        SELECT user_id, channel, user_agent, last_seen FROM (
            SELECT user_id, channel, COALESCE(user_agent, '') AS user_agent,
                   max(last_seen) AS last_seen,
                   row_number() OVER (PARTITION BY user_id ORDER BY max(last_seen) DESC) AS place
            FROM auth_attempt
            WHERE outcome = 'success' AND channel IN ('xmlrpc', 'jsonrpc')
              AND user_id IS NOT NULL
            GROUP BY user_id, channel, COALESCE(user_agent, '')
        ) seen
        WHERE place <= 20
        ON CONFLICT DO NOTHING
        """
    )
