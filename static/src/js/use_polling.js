import { onMounted, onWillUnmount } from "@odoo/owl";
import { browser } from "@web/core/browser/browser";

/**
 * Calls a function while the component is mounted, each time so many milliseconds after the last
 * call is done. An error of the function ends it.
 */
export function usePolling(callback, interval) {
    let timer;
    const poll = async () => {
        await callback();
        if (timer) {
            timer = browser.setTimeout(poll, interval);
        }
    };
    onMounted(() => {
        timer = browser.setTimeout(poll, interval);
    });
    onWillUnmount(() => {
        browser.clearTimeout(timer);
        timer = undefined;
    });
}
