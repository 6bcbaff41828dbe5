import socketserver
class myTCPHandle(socketserver.StreamRequestHandler):
    def handle(self):                             #定义自己的请求处理函数
        print("connet from %s:%s" % self.client_address)         #打印客户端的地址
        self.data=self.rfile.readline()                   #读取客户端的传过来的一行数据
        print(str(self.data,encoding="utf-8"))
        self.wfile.write(bytes('你好',encoding='utf-8'))         #发送数据‘你好’给客户端
if __name__=='__main__':
    address=('127.0.0.1',9999)
    server=socketserver.TCPServer(address,myTCPHandle)          #创建一个基于TCPServer的套接字
    server.serve_forever()                          #调用它的server_forever()函数处理一个请求直到它被shutdown
