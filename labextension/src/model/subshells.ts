/**
 * Subshells by hand, for the one case that JupyterLab does not see to: after a reload of the page in
 * mid-cell it does not know yet that the kernel has subshells, because that answer waits for the cell.
 */
import { KernelMessage, type Kernel } from '@jupyterlab/services';
import type { ISubshells } from './kernelLink.js';

/** Asks the kernel on its control channel. */
export const controlChannelSubshells: ISubshells = {
  async create(kernel: Kernel.IKernelConnection): Promise<string | null> {
    const future = kernel.sendControlMessage(
      KernelMessage.createMessage<KernelMessage.ICreateSubshellRequestMsg>({
        ...envelope(kernel),
        msgType: 'create_subshell_request',
        content: {}
      }),
      true,
      true
    );
    const reply = (await future.done) as KernelMessage.ICreateSubshellReplyMsg;
    return reply.content.subshell_id ?? null; // none in an error
  },

  delete(kernel: Kernel.IKernelConnection, subshellId: string): void {
    if (!kernel.isDisposed && kernel.status !== 'dead') {
      kernel.sendControlMessage(
        KernelMessage.createMessage<KernelMessage.IDeleteSubshellRequestMsg>({
          ...envelope(kernel),
          msgType: 'delete_subshell_request',
          content: { subshell_id: subshellId }
        }),
        false,
        true
      );
    }
  }
};

function envelope(kernel: Kernel.IKernelConnection): {
  channel: 'control';
  username: string;
  session: string;
} {
  return { channel: 'control', username: kernel.username, session: kernel.clientId };
}
